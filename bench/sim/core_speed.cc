#include "bench/sim/core_speed.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "bench/sim/process_memory.h"
#include "bench/sim/thread_time.h"
#include "bench/sim/wire.h"
#include "scheduler/core/state.h"
#include "tegula/error.h"
#include "worker/core/slot_credit.h"

namespace tegula::sim {
namespace {

using namespace scheduler;
using Clock = std::chrono::steady_clock;

constexpr ConnectionId kClient{1};
constexpr std::size_t kLayersPerSubmit = 1024;
// Answers that are applied at a time, before the clock is read again.
constexpr std::size_t kApplied = 1024;
// How often memory is looked at: it grows over millions of tasks.
constexpr std::uint64_t kSamples = 64;

// Finishes what it is given.
class InstantWorker {
 public:
  InstantWorker(WorkerId id, unsigned threads) : id_(id), credit_(threads), threads_(threads) {}

  WorkerId id() const { return id_; }
  msg::RegisterWorker registration() const {
    msg::RegisterWorker about;
    about.name = fmt::format("worker-{}", static_cast<std::uint32_t>(id_));
    about.address = fmt::format("tcp://10.{}.{}.{}:7777", static_cast<std::uint32_t>(id_) >> 16,
                                (static_cast<std::uint32_t>(id_) >> 8) & 255, static_cast<std::uint32_t>(id_) & 255);
    about.host = about.name;
    about.threads = threads_;
    about.kernels = {"tegula.nop"};
    about.slots_granted = credit_.granted();
    return about;
  }

  // Answers to `inbox`, which is emptied.
  void answer(std::vector<msg::Message>& inbox, std::vector<msg::Message>& answers) {
    bool ran = false;
    for (const msg::Message& message : inbox) {
      if (const auto* assign = std::get_if<msg::Assign>(&message)) {
        ++received_;
        ran = true;
        answers.emplace_back(msg::TaskFinished{assign->attempt, assign->task, outputs_of(assign->task), 0});
      } else if (const auto* define = std::get_if<msg::DefineLayer>(&message)) {
        define_layer(*define);
      } else if (const auto* forget = std::get_if<msg::ForgetLayer>(&message)) {
        layers_[static_cast<std::uint32_t>(forget->layer)].clear();
      }  // a retraction comes too late for a task that is finished
    }
    inbox.clear();
    if (!ran) return;
    credit_.observe(std::chrono::nanoseconds(0));
    if (credit_.top_up(0, received_)) answers.emplace_back(msg::GrantCredit{credit_.granted()});
  }

 private:
  void define_layer(const msg::DefineLayer& define) {
    const auto number = static_cast<std::size_t>(define.layer);
    if (number >= layers_.size()) layers_.resize(number + 1);
    for (std::size_t o = 0; o < define.description->outputs.size(); ++o) {
      layers_[number].push_back(declared_nbytes(*define.description, static_cast<std::uint16_t>(o), 0));
    }
  }
  const std::vector<std::uint64_t>& outputs_of(TaskId task) const {
    return layers_.at(static_cast<std::size_t>(layer_of(task)));
  }

  WorkerId id_;
  worker::SlotCredit credit_;
  unsigned threads_;
  std::uint64_t received_ = 0;
  std::vector<std::vector<std::uint64_t>> layers_;  // by LayerId: bytes of each output
};

class Run {
 public:
  Run(const Pattern& pattern, const CoreSpeedOptions& options)
      : pattern_(pattern), options_(options), state_(config(options)), waiting_for_(pattern.wanted()) {
    if (options.codec) wires_.emplace();
  }

  CoreSpeed run() {
    set_up();
    const std::uint64_t resident_before = resident_bytes();
    const auto start = Clock::now();
    speed_.core = speed_.codec = speed_.peers_codec = {};
    submit();
    std::uint64_t next_sample = 0;
    while (turn()) {
      if (state_.counters().tasks_finished < next_sample) continue;
      next_sample += std::max<std::uint64_t>(1, pattern_.tasks / kSamples);
      sample(resident_before);
    }
    speed_.wall = Clock::now() - start;
    sample(resident_before);
    check();
    speed_.tasks = pattern_.tasks;
    if (wires_) speed_.wire_bytes = wires_->to_workers.bytes() + wires_->from_workers.bytes();
    return speed_;
  }

 private:
  // Of all connections: frames end where a batch ends, so one stream serves many.
  struct Wires {
    Wire to_workers, from_workers, to_client, from_client;
  };

  static SchedulerConfig config(const CoreSpeedOptions& options) {
    SchedulerConfig config;
    config.seed = options.seed;
    config.worker_timeout = {};  // nobody sends heartbeats here
    return config;
  }
  static Time now() { return Clock::now().time_since_epoch(); }

  // Adds the processor time of `work` to the core's.
  template <typename Work>
  void timed(Work&& work) {
    const Time time = now();
    const auto start = thread_time();
    work(time);
    speed_.core += thread_time() - start;
  }
  void apply(Event event) { events_.push_back(std::move(event)); }
  void apply_all(Time time) {
    for (Event& event : events_) state_.apply(time, std::move(event), actions_);
    events_.clear();
  }

  void set_up() {
    for (unsigned w = 1; w <= options_.workers; ++w) {
      workers_.emplace_back(static_cast<WorkerId>(w), options_.threads);
      apply(WorkerJoined{workers_.back().id(), workers_.back().registration()});
    }
    inboxes_.resize(workers_.size());
    apply(ClientConnected{kClient, {0, 0, "client"}, 1, 1});
    apply_all(now());
    state_.settle(now(), actions_);
    deliver();
    for (auto& inbox : inboxes_) inbox.clear();
    to_client_.clear();
    return_free_memory();
  }

  void submit() {
    std::vector<msg::Message> messages;
    for (std::size_t first = 0; first < pattern_.layers.size(); first += kLayersPerSubmit) {
      const std::size_t end = std::min(first + kLayersPerSubmit, pattern_.layers.size());
      msg::Submit part;
      part.sequence = ++sequence_;
      part.first_layer = static_cast<LayerNumber>(first);
      part.layers.assign(pattern_.layers.begin() + static_cast<std::ptrdiff_t>(first),
                         pattern_.layers.begin() + static_cast<std::ptrdiff_t>(end));
      if (end == pattern_.layers.size()) part.wants = pattern_.wants;
      messages.emplace_back(std::move(part));
    }
    from_client(std::move(messages));
  }

  // False: everything that was wanted is there (and, if it is to be, given back).
  bool turn() {
    ++speed_.turns;
    timed([&](Time time) {
      apply_all(time);
      state_.settle(time, actions_);
    });
    if (speed_.first_assigned == std::chrono::nanoseconds{} && state_.counters().assignments > 0) {
      speed_.first_assigned = speed_.core;
    }
    deliver();
    bool heard = answer_as_client();
    for (std::size_t w = 0; w < workers_.size(); ++w) heard = answer_as_worker(w) || heard;
    if (in_order_) std::stable_sort(events_.begin(), events_.end(), &ends_before);
    if (heard) return true;
    if (state_.busy()) {
      apply(Tick{});
      return true;
    }
    if (waiting_for_ != 0) {
      throw Error(ErrorCode::kInternal, fmt::format("the scheduler stands still with {} of {} results missing",
                                                    waiting_for_, pattern_.wanted()));
    }
    return false;
  }

  // Attempts end in the order of binding, whoever has them: what follows others ends after them.
  static bool ends_before(const Event& a, const Event& b) {
    const auto attempt = [](const Event& event) {
      const auto* said = std::get_if<FromWorker>(&event);
      const auto* finished = said == nullptr ? nullptr : std::get_if<msg::TaskFinished>(&said->message);
      return finished == nullptr ? AttemptId{~std::uint64_t{0}} : finished->attempt;
    };
    return attempt(a) < attempt(b);
  }

  void deliver() {
    in_order_ = false;
    for (Action& action : actions_) {
      if (auto* to_worker = std::get_if<SendToWorker>(&action)) {
        const auto* assign = std::get_if<msg::Assign>(&to_worker->message);
        in_order_ = in_order_ || (assign != nullptr && !assign->awaited.empty());
        inboxes_[static_cast<std::size_t>(to_worker->worker) - 1].push_back(std::move(to_worker->message));
      } else if (auto* to_client = std::get_if<SendToClient>(&action)) {
        to_client_.push_back(std::move(to_client->message));
      } else if (const auto* close = std::get_if<CloseWorker>(&action)) {
        throw Error(ErrorCode::kInternal, "the scheduler closes a worker: " + close->reason);
      } else if (const auto* other = std::get_if<CloseClient>(&action)) {
        throw Error(ErrorCode::kInternal, "the scheduler closes the client: " + other->reason);
      }
    }
    actions_.clear();
  }

  bool answer_as_worker(std::size_t w) {
    std::vector<msg::Message>& inbox = inboxes_[w];
    if (inbox.empty()) return false;
    if (wires_) carry(wires_->to_workers, inbox, true);
    answers_.clear();
    workers_[w].answer(inbox, answers_);
    if (wires_ && !answers_.empty()) carry(wires_->from_workers, answers_, false);
    for (msg::Message& message : answers_) apply(FromWorker{workers_[w].id(), std::move(message)});
    if (!in_order_ && events_.size() >= kApplied) timed([&](Time time) { apply_all(time); });
    return !answers_.empty();
  }

  bool answer_as_client() {
    if (to_client_.empty()) return false;
    if (wires_) carry(wires_->to_client, to_client_, true);
    released_.clear();
    for (const msg::Message& message : to_client_) {
      if (const auto* ready = std::get_if<msg::ResultReady>(&message)) {
        --waiting_for_;
        if (options_.release) released_.push_back({ready->layer, ready->output, ready->index, ready->index + 1});
      } else if (const auto* erred = std::get_if<msg::ResultErred>(&message)) {
        throw Error(ErrorCode::kInternal, "a task erred: " + erred->error.message);
      } else if (const auto* refused = std::get_if<msg::SubmitRefused>(&message)) {
        throw ValueError(refused->error.message);
      }
    }
    to_client_.clear();
    if (released_.empty()) return false;
    msg::ReleaseWants release{++sequence_, {}};
    std::sort(released_.begin(), released_.end(), [](const msg::WantRange& a, const msg::WantRange& b) {
      return std::tie(a.layer, a.begin) < std::tie(b.layer, b.begin);
    });
    for (const msg::WantRange& range : released_) {
      if (!release.wants.empty() && release.wants.back().layer == range.layer &&
          release.wants.back().end == range.begin) {
        release.wants.back().end = range.end;
      } else {
        release.wants.push_back(range);
      }
    }
    std::vector<msg::Message> messages;
    messages.emplace_back(std::move(release));
    from_client(std::move(messages));
    return true;
  }

  void from_client(std::vector<msg::Message> messages) {
    if (wires_) carry(wires_->from_client, messages, false);
    for (msg::Message& message : messages) apply(FromClient{kClient, std::move(message)});
  }

  void carry(Wire& wire, std::vector<msg::Message>& messages, bool from_scheduler) {
    const auto sending = wire.sending();
    const auto receiving = wire.receiving();
    wire.carry(messages);
    (from_scheduler ? speed_.codec : speed_.peers_codec) += wire.sending() - sending;
    (from_scheduler ? speed_.peers_codec : speed_.codec) += wire.receiving() - receiving;
  }

  void sample(std::uint64_t resident_before) {
    const std::uint64_t resident = resident_bytes();
    if (resident > resident_before) speed_.rss_growth = std::max(speed_.rss_growth, resident - resident_before);
    speed_.record_bytes = std::max<std::uint64_t>(speed_.record_bytes, state_.task_record_bytes());
  }

  void check() const {
    const Counters& counters = state_.counters();
    const std::uint64_t left = counters.released + counters.waiting + counters.no_worker + counters.queued +
                               counters.processing + counters.erred + (options_.release ? counters.memory : 0);
    if (counters.tasks_finished != pattern_.tasks || left != 0 || counters.stale_answers != 0 ||
        counters.client_anomalies != 0 || counters.tasks_recomputed != 0) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("{} of {} tasks finished, {} left, {} stale answers, {} anomalies, {} computed again",
                              counters.tasks_finished, pattern_.tasks, left, counters.stale_answers,
                              counters.client_anomalies, counters.tasks_recomputed));
    }
  }

  const Pattern& pattern_;
  const CoreSpeedOptions& options_;
  SchedulerState state_;
  std::vector<InstantWorker> workers_;
  std::vector<std::vector<msg::Message>> inboxes_;  // by worker
  std::vector<msg::Message> to_client_, answers_;
  std::vector<msg::WantRange> released_;
  std::vector<Event> events_;
  bool in_order_ = false;  // an answer of this turn follows from another worker's
  std::vector<Action> actions_;
  std::optional<Wires> wires_;
  std::uint64_t waiting_for_;
  std::uint64_t sequence_ = 0;
  CoreSpeed speed_;
};

}  // namespace

double CoreSpeed::tasks_per_s() const {
  return static_cast<double>(tasks) / std::chrono::duration<double>(scheduler_time()).count();
}

CoreSpeed measure_core(const Pattern& pattern, const CoreSpeedOptions& options) { return Run(pattern, options).run(); }

}  // namespace tegula::sim
