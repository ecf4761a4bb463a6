#include "worker/nanny/nanny.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "comm/event_loop.h"
#include "comm/messages.h"
#include "src/config.h"
#include "src/log.h"
#include "tegula/error.h"
#include "worker/nanny/oom_counter.h"

namespace tegula::worker {

namespace {

constexpr std::string_view kLog = "nanny";
constexpr Duration kCheckInterval = std::chrono::milliseconds(250);
constexpr Duration kShortest = std::chrono::milliseconds(10);
constexpr Duration kStartAgain = std::chrono::seconds(1);
constexpr unsigned kOverMemoryChecks = 2;  // in a row: the worker's own count may lag behind by a moment

std::string in_seconds(Duration time) { return fmt::format("{:.3g} s", std::chrono::duration<double>(time).count()); }

// One worker: the process there is now, or the time until the next one.
struct Child {
  Child(ProcessSpec the_spec, const RestartOptions& options) : spec(std::move(the_spec)), policy(options) {}

  ProcessSpec spec;
  RestartPolicy policy;
  std::optional<WorkerProcess> process;
  std::unique_ptr<EventLoop::Timer> restart;
  std::uint32_t life = 0;       // of the process there is now, or was last
  std::string killed_because;   // by this nanny
  msg::DeathCause killed_as{};  // then
  std::optional<std::uint64_t> oom_before;
  unsigned over_memory = 0;  // checks in a row
};

class Nanny {
 public:
  Nanny(EventLoop& loop, NannyOptions options) : loop_(loop), options_(std::move(options)) {
    for (ProcessSpec& spec : options_.workers) {
      children_.push_back(std::make_unique<Child>(std::move(spec), options_.restart));
    }
    if (options_.find_scheduler) {
      reporter_.emplace(loop_, options_.comm, options_.find_scheduler);
      reporter_->on_idle = [this] { stop_if_done(); };
    }
    check_interval_ =
        options_.hang_timeout > Duration{0} ? std::min(kCheckInterval, options_.hang_timeout / 4) : kCheckInterval;
    check_interval_ = std::max(check_interval_, kShortest);
  }

  void begin() {
    loop_.on_signals({SIGTERM, SIGINT, SIGCHLD}, [this](int signal) {
      if (signal == SIGCHLD) {
        reap();
      } else {
        end_all(signal);
      }
    });
    for (const auto& child : children_) start(*child);
    last_check_ = steady_ns();
    schedule_check();
  }

  int status() const { return status_; }

 private:
  void start(Child& child) {
    child.restart.reset();
    child.killed_because.clear();
    child.over_memory = 0;
    child.oom_before = oom_.kills();
    try {
      child.process.emplace(child.spec, ++child.life);
    } catch (const Error& error) {  // the machine is out of something; that may pass
      log::error(kLog, "worker {}: {}; tries again in {}", child.spec.name, error.what(), in_seconds(kStartAgain));
      child.restart = loop_.after(kStartAgain, [this, &child] { start(child); });
      return;
    }
    log::info(kLog, "started worker {} as process {}", child.spec.name, child.process->pid());
  }

  // ---- ends ----

  void reap() {
    for (const auto& child : children_) {
      if (!child->process) continue;
      if (const std::optional<int> wait_status = child->process->poll()) ended(*child, *wait_status);
    }
    stop_if_done();
  }

  void stop_if_done() {
    const bool done = std::none_of(children_.begin(), children_.end(),
                                   [](const auto& child) { return child->process || child->restart != nullptr; });
    if (done && (!reporter_ || !reporter_->busy())) loop_.stop();
  }

  void ended(Child& child, int wait_status) {
    const Vitals& vitals = child.process->vitals();
    ProcessEnd end;
    end.wait_status = wait_status;
    end.meant_to = vitals.ending.load() != 0;
    end.joined = vitals.incarnation.load() != 0;
    end.lived = Duration(steady_ns() - child.process->started());
    msg::WorkerDied died = cause_of(child, end);
    const std::string cause = died.detail;
    died.executing = vitals.executing();
    // Who ended on purpose has told the scheduler itself.
    if (reporter_ && end.joined && !(end.meant_to && WIFEXITED(wait_status))) {
      reporter_->report(std::move(died), static_cast<Incarnation>(vitals.incarnation.load()));
    }
    child.process.reset();

    if (ending_) {
      const int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;
      if (status != 0) log::warning(kLog, "worker {}: {}", child.spec.name, cause);
      return note_status(status);
    }
    const RestartPolicy::Verdict verdict = child.policy.judge(end);
    if (verdict.restart_after) {
      log::warning(kLog, "worker {}: {} after {}; starts again{}", child.spec.name, cause, in_seconds(end.lived),
                   *verdict.restart_after > Duration{0} ? " in " + in_seconds(*verdict.restart_after) : "");
      child.restart = loop_.after(*verdict.restart_after, [this, &child] { start(child); });
      return;
    }
    if (!verdict.reason.empty()) {
      log::error(kLog, "worker {}: {}; it is not started again: {}", child.spec.name, cause, verdict.reason);
    }
    note_status(verdict.status);
  }

  // What a death is put down to. Signals that somebody sends to end a process say nothing about its tasks.
  msg::WorkerDied cause_of(const Child& child, const ProcessEnd& end) const {
    msg::WorkerDied died;
    died.name = child.spec.name;
    died.nanny = child.spec.nanny;
    died.life = child.life;
    const std::string how = describe_wait_status(end.wait_status);
    if (!child.killed_because.empty()) {
      died.cause = child.killed_as;
      died.detail = "killed by its nanny: " + child.killed_because;
    } else if (WIFEXITED(end.wait_status)) {
      const bool crash = end.joined && !end.meant_to;
      died.cause = crash ? msg::DeathCause::kExit : msg::DeathCause::kOrderly;
      died.detail = "ended with " + how + (crash ? " in the middle of its work" : "");
    } else {
      const int signal = WTERMSIG(end.wait_status);
      died.cause = msg::DeathCause::kSignal;
      died.detail = "killed by " + how;
      if (signal == SIGKILL) look_for_lack_of_memory(child, died);
      if (signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT) {
        died.cause = msg::DeathCause::kKilled;
      }
    }
    return died;
  }

  void look_for_lack_of_memory(const Child& child, msg::WorkerDied& died) const {
    died.cause = msg::DeathCause::kKilled;
    const std::optional<std::uint64_t> kills = oom_.kills();
    if (!kills || !child.oom_before) {
      died.detail += ", perhaps for want of memory, which cannot be told here";
    } else if (*kills > *child.oom_before) {
      died.cause = msg::DeathCause::kOutOfMemory;
      died.detail = "killed by the kernel for want of memory";
    } else {
      died.detail += " by somebody";
    }
  }

  void note_status(int status) {
    if (status_ == 0) status_ = status;
  }

  void end_all(int signal) {
    const Order order = ending_ ? Order::kLeave : signal == SIGINT ? Order::kHurry : Order::kDrain;
    const Duration patience = order == Order::kLeave   ? Duration{0}
                              : order == Order::kHurry ? std::min(kHurryTime, options_.drain_timeout)
                                                       : options_.drain_timeout;
    if (!ending_) log::info(kLog, "asked to end: the workers have {}", in_seconds(patience));
    ending_ = true;
    for (const auto& child : children_) {
      child->restart.reset();
      if (!child->process) continue;
      child->process->vitals().order.store(order);
      child->process->signal(SIGTERM);  // it looks at the order when it gets this
    }
    last_timer_ = loop_.after(patience + options_.last_patience, [this] {
      for (const auto& child : children_) {
        if (child->process) kill_child(*child, msg::DeathCause::kOrderly, "it had not ended when its time was up");
      }
    });
    reap();
  }

  // ---- checks ----

  void schedule_check() {
    check_timer_ = loop_.after(check_interval_, [this] {
      const std::int64_t now = steady_ns();
      // Whoever had this process wait (a busy machine, a stop signal) may have had the workers wait as well.
      if (Duration(now - last_check_) > 4 * check_interval_) awake_since_ = now;
      last_check_ = now;
      for (const auto& child : children_) {
        if (child->process) check(*child, now);
      }
      schedule_check();
    });
  }

  void check(Child& child, std::int64_t now) {
    const WorkerProcess& process = *child.process;
    // One that has not begun to beat loads its kernels or waits for the scheduler's file, for which it has a limit.
    const std::int64_t beat = process.vitals().beat.load();
    const Duration silent(beat == 0 ? 0 : now - std::max(beat, awake_since_));
    if (options_.hang_timeout > Duration{0} && silent > options_.hang_timeout) {
      const bool stopped = process.stopped();
      return kill_child(child, stopped ? msg::DeathCause::kOrderly : msg::DeathCause::kHung,
                        fmt::format("its event loop has not run for {}{}", in_seconds(silent),
                                    stopped ? ", the process is stopped" : ""));
    }
    if (options_.memory_limit != 0 && options_.terminate_fraction > 0) check_memory(child);
  }

  // The last resort against kernels that take memory past the worker's own accounts. What the worker counts is its own
  // matter: it spills, and dying would only move the load to others.
  void check_memory(Child& child) {
    const Vitals& vitals = child.process->vitals();
    if (vitals.incarnation.load() == 0) return;
    const double limit = static_cast<double>(options_.memory_limit) * options_.terminate_fraction;
    const double resident = static_cast<double>(child.process->resident_bytes());
    const double grown = resident - static_cast<double>(vitals.initial_bytes.load());
    const double own = static_cast<double>(vitals.own_bytes.load());
    const bool over = grown > limit && grown - own > limit / 2;
    child.over_memory = over ? child.over_memory + 1 : 0;
    if (child.over_memory < kOverMemoryChecks) return;
    kill_child(child, msg::DeathCause::kOverMemory,
               fmt::format("{} are resident, of which results and reservations are {}; the limit is {}",
                           format_bytes(static_cast<std::uint64_t>(resident)),
                           format_bytes(static_cast<std::uint64_t>(own)), format_bytes(options_.memory_limit)));
  }

  void kill_child(Child& child, msg::DeathCause cause, std::string reason) {
    if (!child.killed_because.empty()) return;
    log::warning(kLog, "kills worker {} (process {}): {}", child.spec.name, child.process->pid(), reason);
    child.killed_as = cause;
    child.killed_because = std::move(reason);
    child.process->signal(SIGKILL);
  }

  EventLoop& loop_;
  NannyOptions options_;
  const OomCounter oom_;
  std::vector<std::unique_ptr<Child>> children_;
  Duration check_interval_{};
  std::int64_t last_check_ = 0;
  std::int64_t awake_since_ = 0;
  bool ending_ = false;
  int status_ = 0;
  std::optional<DeathReporter> reporter_;
  std::unique_ptr<EventLoop::Timer> check_timer_, last_timer_;
};

}  // namespace

int run_nanny(NannyOptions options) {
  EventLoop loop;
  Nanny nanny(loop, std::move(options));
  nanny.begin();
  loop.run();
  return nanny.status();
}

}  // namespace tegula::worker
