// Copies of results that the scheduler wants here: to have them twice, or before another worker leaves.
#include <algorithm>
#include <utility>

#include "worker/core/state.h"

namespace tegula::worker {

void WorkerState::apply(msg::AcquireReplicas& event) {
  msg::ReplicasAdded added;
  msg::ReplicasDropped dropped;
  std::stable_sort(event.results.begin(), event.results.end(),
                   [](const auto& a, const auto& b) { return a.result < b.result; });
  for (auto first = event.results.begin(); first != event.results.end();) {
    const ResultId result = first->result;
    std::vector<Fetches::Source> sources;
    for (; first != event.results.end() && first->result == result; ++first) {
      if (first->worker != self_ && fetches_.knows(first->worker)) sources.push_back({first->worker, {}});
    }
    if (acquiring_.contains(result)) continue;  // that one will be answered
    if (!results_.contains(result) && !start_acquiring(result, sources)) {
      dropped.results.push_back(result);
    } else if (results_.contains(result)) {
      added.results.push_back(result);
    }
  }
  if (!added.results.empty()) actions_->emplace_back(SendToScheduler{std::move(added)});
  if (!dropped.results.empty()) actions_->emplace_back(SendToScheduler{std::move(dropped)});
}

// What does not fit now is left to another worker: waiting for room here could be for ever, as nothing that this worker
// runs need free any.
bool WorkerState::start_acquiring(const ResultId& result, const std::vector<Fetches::Source>& sources) {
  const std::uint64_t bytes = fetches_.extra_bytes(result, {}, estimate(result, {}));
  if (sources.empty() || !fits(bytes)) return false;
  const auto wish = fetches_.want(result, {}, bytes, sources, {kAcquisition, 0});
  if (wish.chunk != nullptr) {
    keep_result(result, *wish.chunk);
    fetches_.release(wish.piece, kAcquisition);
  } else {
    acquiring_.emplace(result, wish.piece);
  }
  return true;
}

void WorkerState::settle_acquisitions(const Fetches::Outcome& outcome) {
  const auto wanted = [](const std::vector<Fetches::User>& users) {
    return std::any_of(users.begin(), users.end(), [](const auto& user) { return user.attempt == kAcquisition; });
  };
  msg::ReplicasAdded added;
  msg::ReplicasDropped dropped;
  for (const Fetches::Arrived& arrived : outcome.arrived) {
    if (!wanted(arrived.users)) continue;
    const auto found = acquiring_.find(arrived.result);
    keep_result(arrived.result, arrived.chunk);
    fetches_.release(found->second, kAcquisition);
    acquiring_.erase(found);
    added.results.push_back(arrived.result);
  }
  // It may have been made here meanwhile: then it is here, and no word to the contrary may follow that news.
  const auto give_up = [&](const ResultId& result) {
    acquiring_.erase(result);
    (results_.contains(result) ? added.results : dropped.results).push_back(result);
  };
  for (const Fetches::Refused& refused : outcome.refused) {
    if (wanted(refused.users)) give_up(refused.result);
  }
  for (const Fetches::Lost& lost : outcome.lost) {
    if (wanted(lost.users)) give_up(lost.result);
  }
  if (!added.results.empty()) actions_->emplace_back(SendToScheduler{std::move(added)});
  if (!dropped.results.empty()) actions_->emplace_back(SendToScheduler{std::move(dropped)});
}

}  // namespace tegula::worker
