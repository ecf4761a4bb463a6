// What workers died of lately, for people; nothing is decided by it. A worker that is lost counts as dead until its
// process shows up again. What it died of is what its nanny reports, until then what is known of the loss.
#include <algorithm>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::size_t kMostTold = 32;

}  // namespace

void Core::note_death(const Worker& worker, const std::string& detail) {
  const msg::RegisterWorker& who = worker.registration;
  Obituary died{
      {now_, who.name, detail.empty() ? "its connection was lost" : detail, false}, who.nanny, who.life, who.instance};
  ++counters_.workers_died;
  died_.push_back(std::move(died));
  if (died_.size() > kMostTold) died_.pop_front();
  if (worker.death) correct_death(*worker.death);
}

void Core::correct_death(const msg::WorkerDied& report) {
  const auto found = std::find_if(died_.begin(), died_.end(), [&](const Obituary& died) {
    return died.nanny == report.nanny && died.life == report.life;
  });
  if (found == died_.end()) return;
  if (report.cause == msg::DeathCause::kOrderly) {  // it was to end
    died_.erase(found);
    --counters_.workers_died;
    return;
  }
  found->death.cause = report.detail;
  found->death.certain = true;
}

void Core::take_back_death(std::uint64_t instance) {
  counters_.workers_died -=
      std::erase_if(died_, [&](const Obituary& died) { return died.instance == instance && !died.death.certain; });
}

std::vector<WorkerDeath> SchedulerState::deaths() const {
  std::vector<WorkerDeath> deaths;
  for (const Obituary& died : core_->died_) deaths.push_back(died.death);
  return deaths;
}

}  // namespace tegula::scheduler
