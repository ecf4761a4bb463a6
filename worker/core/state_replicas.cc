// Copies of results that the scheduler wants here: to have them twice, or before another worker leaves.
#include <algorithm>
#include <limits>
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
    const auto same = [&](const Acquisition& one) { return one.result == result; };
    if (acquiring_.contains(result) || std::any_of(acquisitions_.begin(), acquisitions_.end(), same)) {
      continue;  // that one will be answered
    }
    if (store_.contains(result)) {
      added.results.push_back(result);
    } else if (sources.empty()) {
      dropped.results.push_back(result);
    } else {
      acquisitions_.push_back({result, std::move(sources)});
    }
  }
  if (!added.results.empty()) actions_->emplace_back(SendToScheduler{std::move(added)});
  tell_dropped(std::move(dropped));
}

// In the order of the wishes, while there is room; values go to disk to make some. What does not fit although nothing
// more will come free is left to another worker: waiting here could be for ever, as nothing that this worker runs need
// free any.
void WorkerState::admit_acquisitions() {
  constexpr Order kAfterAllTasks{std::numeric_limits<std::int64_t>::max(), AttemptId{~std::uint64_t{0}}};
  msg::ReplicasAdded added;
  msg::ReplicasDropped dropped;
  for (; !acquisitions_.empty(); acquisitions_.pop_front()) {
    Acquisition& next = acquisitions_.front();
    if (store_.contains(next.result)) {  // made here meanwhile
      added.results.push_back(next.result);
      continue;
    }
    const std::uint64_t bytes = fetches_.extra_bytes(next.result, {}, estimate(next.result, {}));
    if (make_room(bytes, kAfterAllTasks)) {
      if (start_acquiring(next.result, next.sources, bytes)) added.results.push_back(next.result);
    } else if (store_.freeing()) {
      break;
    } else {
      dropped.results.push_back(next.result);
    }
  }
  if (!added.results.empty()) actions_->emplace_back(SendToScheduler{std::move(added)});
  tell_dropped(std::move(dropped));
}

// True when it is here already.
bool WorkerState::start_acquiring(const ResultId& result, const std::vector<Fetches::Source>& sources,
                                  std::uint64_t bytes) {
  const auto wish = fetches_.want(result, {}, bytes, sources, {kAcquisition, 0});
  if (wish.chunk == nullptr) {
    acquiring_.emplace(result, wish.piece);
    return false;
  }
  store_.keep(result, *wish.chunk, *actions_);
  fetches_.release(wish.piece, kAcquisition);
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
    store_.keep(arrived.result, arrived.chunk, *actions_);
    fetches_.release(found->second, kAcquisition);
    acquiring_.erase(found);
    added.results.push_back(arrived.result);
  }
  // It may have been made here meanwhile: then it is here, and no word to the contrary may follow that news.
  const auto give_up = [&](const ResultId& result) {
    acquiring_.erase(result);
    (store_.contains(result) ? added.results : dropped.results).push_back(result);
  };
  for (const Fetches::Refused& refused : outcome.refused) {
    if (wanted(refused.users)) give_up(refused.result);
  }
  for (const Fetches::Lost& lost : outcome.lost) {
    if (wanted(lost.users)) give_up(lost.result);
  }
  if (!added.results.empty()) actions_->emplace_back(SendToScheduler{std::move(added)});
  tell_dropped(std::move(dropped));
}

}  // namespace tegula::worker
