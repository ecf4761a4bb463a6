#include "worker/nanny/reporter.h"

#include <utility>

#include "src/log.h"
#include "tegula/error.h"

namespace tegula::worker {

namespace {

constexpr std::string_view kLog = "nanny";
constexpr auto kPatience = std::chrono::seconds(5);  // with one report

}  // namespace

DeathReporter::DeathReporter(EventLoop& loop, CommOptions comm, std::function<SchedulerTarget()> find)
    : loop_(loop), comm_(std::move(comm)), find_(std::move(find)), self_(std::make_shared<DeathReporter*>(this)) {}

DeathReporter::~DeathReporter() { *self_ = nullptr; }

void DeathReporter::report(msg::WorkerDied died, Incarnation incarnation) {
  const std::uint64_t number = ++last_report_;
  reports_[number].timer = loop_.after(kPatience, [this, number] { end(number); });
  try {
    const SchedulerTarget target = find_();
    CommOptions comm = comm_;
    comm.role = Role::kWorker;
    comm.name = "nanny of " + died.name;
    comm.token = target.token;
    comm.incarnation = incarnation;
    const auto made = [self = self_, number, died = std::move(died)](ConnectionPtr connection,
                                                                     const std::optional<ErrorInfo>& error) mutable {
      if (*self == nullptr) return;
      const auto found = (*self)->reports_.find(number);
      if (found == (*self)->reports_.end()) return;
      if (error) {
        log::warning(kLog, "the scheduler does not hear how worker {} ended: {}", died.name, error->message);
        return (*self)->end(number);
      }
      // The scheduler closes when it has it.
      connection->on_closed = [self, number](const std::string&) {
        if (*self != nullptr) (*self)->end(number);
      };
      connection->send(std::move(died));
      found->second.connection = std::move(connection);
    };
    connect(loop_, target.address, comm, made);
  } catch (const Error& error) {
    log::warning(kLog, "the scheduler does not hear how a worker ended: {}", error.what());
    end(number);
  }
}

void DeathReporter::end(std::uint64_t number) {
  const auto found = reports_.find(number);
  if (found == reports_.end()) return;
  // Destroyed later: one of its handlers may be what runs now.
  loop_.post([gone = std::make_shared<Report>(std::move(found->second))] {});
  reports_.erase(found);
  if (reports_.empty() && on_idle) on_idle();
}

}  // namespace tegula::worker
