// What a worker's death says about the tasks that it had. Blame falls on what its threads executed, by the cause of its
// death; a task that has used up its workers ends as KilledWorker. Both are known for certain only from the worker's
// nanny, whose report is waited for a moment: only blame waits, the tasks are under way elsewhere. Without a report the
// tasks that came first, as many as the worker had threads, are taken to have been executing, and the rest count for
// less. Any task that always kills its worker is stopped in the end, and one that was merely near seldom is.
#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::uint32_t kNearFactor = 3;  // so many deaths near a task count as one by it
constexpr std::size_t kMostDetail = 512;  // bytes of a cause as told by a peer

bool executed(const msg::WorkerDied& report, AttemptId attempt) {
  return std::find(report.executing.begin(), report.executing.end(), attempt) != report.executing.end();
}

}  // namespace

void Core::on(DeathReported& event) {
  msg::WorkerDied& report = event.report;
  if (report.nanny == 0) return;
  report.detail.resize(std::min(report.detail.size(), kMostDetail));
  for (const auto& worker : workers_) {
    if (!worker || worker->registration.nanny != report.nanny || worker->registration.life != report.life) continue;
    report.executing.resize(std::min<std::size_t>(report.executing.size(), worker->registration.threads));
    worker->death = std::move(report);  // believed when it is lost
    return;
  }
  correct_death(report);
  const auto found = std::find_if(inquests_.begin(), inquests_.end(), [&](const Inquest& inquest) {
    return inquest.nanny == report.nanny && inquest.life == report.life;
  });
  if (found == inquests_.end()) return;
  Inquest inquest = std::move(*found);
  inquests_.erase(found);
  judge(std::move(inquest), &report);
}

void Core::end_inquests() {
  while (!inquests_.empty() && inquests_.front().deadline <= now_) {
    Inquest inquest = std::move(inquests_.front());
    inquests_.pop_front();
    judge(std::move(inquest), nullptr);
  }
}

void Core::judge(Inquest inquest, const msg::WorkerDied* report) {
  std::vector<TaskId> stopped;
  for (const Inquest::Suspect& suspect : inquest.suspects) {
    const Slot slot = find_slot(suspect.task);
    if (slot == kNoSlot) continue;
    Death death{inquest.name, inquest.detail.empty() ? "its connection was lost" : inquest.detail};
    Blame how = suspect.likely && !(inquest.vanished && inquest.nanny != 0) ? Blame::kFull : Blame::kNear;
    if (report != nullptr) {
      // Killed by nobody knows whom: an operator, a batch system; or for want of memory by somebody who does not count.
      const bool guilty = report->cause < msg::DeathCause::kKilled;
      how = guilty ? Blame::kFull : report->cause == msg::DeathCause::kKilled ? Blame::kNear : Blame::kNone;
      if (!executed(*report, suspect.attempt)) how = Blame::kNone;
      death = {inquest.name, report->detail, true};
    }
    death.full = how == Blame::kFull;
    death.instance = inquest.instance;
    if (how != Blame::kNone && blame(tasks_[slot], std::move(death))) stopped.push_back(suspect.task);
  }
  for (const TaskId task : stopped) stop(task, inquest);
}

// The process has connected anew: it was not dead.
void Core::take_back_blame(const msg::RegisterWorker& alive) {
  if (alive.instance == 0) return;
  take_back_death(alive.instance);
  std::erase_if(inquests_, [&](const Inquest& inquest) { return inquest.instance == alive.instance; });
  for (auto entry = deaths_.begin(); entry != deaths_.end();) {
    auto& [id, deaths] = *entry;
    Task& task = *find_task(id);
    std::erase_if(deaths, [&](const Death& death) {
      if (death.certain || death.instance != alive.instance) return false;
      task.deaths -= death.full ? 1 : 0;
      --task.near_deaths;
      return true;
    });
    entry = deaths.empty() ? deaths_.erase(entry) : std::next(entry);
  }
}

bool Core::blame(Task& task, Death death) {
  if (!layer_of_task(task).is_active(index_of(task.id))) return false;
  if (death.full) ++task.deaths;
  ++task.near_deaths;
  deaths_[task.id].push_back(std::move(death));
  return task.deaths >= config_.allowed_deaths || task.near_deaths >= kNearFactor * config_.allowed_deaths;
}

std::string Core::deaths_with(TaskId task, const char* how) const {
  const std::vector<Death>& deaths = deaths_.at(task);
  std::string list;
  for (const Death& death : deaths) {
    list += fmt::format("{}{}: {}{}", list.empty() ? "" : "; ", death.worker, death.cause,
                        death.certain ? "" : " (whether it executed this task is not certain)");
  }
  return fmt::format("{} worker{} {}: {}", deaths.size(), deaths.size() == 1 ? "" : "s", how, list);
}

void Core::stop(TaskId task, const Inquest& inquest) {
  const Slot slot = find_slot(task);
  if (slot == kNoSlot) return;
  ErrorInfo error;
  error.code = ErrorCode::kKilledWorker;
  error.message = deaths_with(task, "died of this task");
  error.worker = inquest.address;
  fail(task, std::move(error));
  // It may be under way again.
  if (const Slot now = find_slot(task); now != kNoSlot && tasks_[now].state == TaskState::kProcessing) retract(now);
}

}  // namespace tegula::scheduler
