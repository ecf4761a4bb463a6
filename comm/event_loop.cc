#include "comm/event_loop.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <cassert>
#include <utility>

#include "comm/event_loop_asio.h"
#include "tegula/error.h"

namespace tegula {

namespace {

// So that end-of-turn work (flushing) is not starved by sockets that are always ready.
constexpr int kMaxHandlersPerTurn = 256;
// For which a thread lends itself before it goes back to what it is there for.
constexpr int kMaxLentRounds = 64;
// How long the loop's thread leaves to them what they have posted while it had the turn.
constexpr std::chrono::microseconds kLeftToLenders{50};

class LoopTimer final : public EventLoop::Timer {
 public:
  LoopTimer(std::weak_ptr<EventLoop::Impl> loop, std::shared_ptr<EventLoop::Impl::TimerEntry> entry)
      : loop_(std::move(loop)), entry_(std::move(entry)) {}
  ~LoopTimer() override {
    if (auto loop = loop_.lock()) loop->cancel(*entry_);
  }

 private:
  std::weak_ptr<EventLoop::Impl> loop_;
  std::shared_ptr<EventLoop::Impl::TimerEntry> entry_;
};

}  // namespace

EventLoop::Impl::Impl()
    : io_(std::make_unique<asio::io_context>(1)),
      guard_(std::make_unique<asio::executor_work_guard<asio::io_context::executor_type>>(io_->get_executor())) {}

void EventLoop::Impl::run() {
  struct Running {
    Impl& loop;
    explicit Running(Impl& impl) : loop(impl) {
      loop.about_to_run();
      loop.enter();
    }
    ~Running() {
      loop.enter();  // unless it has the turn; from here on nobody lends itself
      loop.not_running();
    }
  } running(*this);
  while (!stop_.exchange(false)) turn();
}

void EventLoop::Impl::about_to_run() {
  running_ = true;
  std::lock_guard lock(mutex_);
  exited_ = false;
}

void EventLoop::Impl::not_running() {
  std::lock_guard lock(mutex_);
  running_ = false;
  if (in_loop()) holder_ = std::thread::id();
  exited_ = true;
  changed_.notify_all();
}

// One turn: what is ready now (bounded), then what was posted, then the end-of-turn work. Waits, without the turn, only
// when there is nothing of the last two.
void EventLoop::Impl::turn() {
  if (end_of_turn_.empty() && leave_to_wait()) {
    if (wait_until_ == Clock::time_point::max()) {
      io_->run_one();
    } else {
      io_->run_one_until(wait_until_);
    }
    enter();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  } else if (watch_ != nullptr) {
    watch_->begin();
  }
  for (int handlers = 0; handlers < kMaxHandlersPerTurn && !stop_; ++handlers) {
    if (io_->poll_one() == 0) break;
  }
  run_due_timers();
  run_posted(false);
  run_end_of_turn();
  if (watch_ != nullptr) watch_->end();
}

void EventLoop::Impl::enter() {
  if (in_loop()) return;
  std::unique_lock lock(mutex_);
  own_thread_ = std::this_thread::get_id();
  if (holder_.load() != std::thread::id()) {
    own_thread_waits_ = true;
    turn_free_.wait(lock, [this] { return in_loop(); });
    own_thread_waits_ = false;
  }
  holder_ = own_thread_;
  wake_sent_ = false;
  left_to_lenders_ = false;
  lock.unlock();
  if (watch_ != nullptr) watch_->begin();
}

// What lenders have posted meanwhile does not keep this thread: they may be as many as there are cores, and those with
// nothing else to do will help().
bool EventLoop::Impl::leave_to_wait() {
  std::lock_guard lock(mutex_);
  if (!posted_.empty() && !posted_.front().by_lender) return false;
  wait_until_ = timers_.empty() ? Clock::time_point::max() : timers_.begin()->first;
  if (!posted_.empty()) wait_until_ = std::min(wait_until_, Clock::now() + kLeftToLenders);
  left_to_lenders_ = !posted_.empty();
  holder_ = std::thread::id();
  return true;
}

// The loop may be let go of by what runs here, hence the copy of its owner.
void EventLoop::Impl::lend() {
  const auto self = shared_from_this();
  int rounds = 0;
  do {
    if (watch_ != nullptr) watch_->begin();
    try {
      run_posted(true);
      run_end_of_turn();
    } catch (...) {
      failure_ = std::current_exception();
    }
    if (watch_ != nullptr) watch_->end();
  } while (!leave_lent(++rounds));
}

bool EventLoop::Impl::leave_lent(int rounds) {
  std::lock_guard lock(mutex_);
  const bool any = !end_of_turn_.empty() || (!posted_.empty() && posted_.front().anywhere);
  if (any && rounds < kMaxLentRounds && !stop_ && !failure_ && !own_thread_waits_) return false;
  if (own_thread_waits_) {
    holder_ = own_thread_;
    turn_free_.notify_one();
    return true;
  }
  holder_ = std::thread::id();
  const bool sooner = !timers_.empty() && timers_.begin()->first < wait_until_;
  if (!end_of_turn_.empty() || !posted_.empty() || failure_ || sooner) wake();
  return true;
}

void EventLoop::Impl::run_due_timers() {
  if (timers_.empty()) return;
  const auto now = Clock::now();
  while (!stop_ && !timers_.empty() && timers_.begin()->first <= now) {
    const auto entry = timers_.begin()->second;
    cancel(*entry);
    const Work work = std::move(entry->work);  // its handle may be destroyed by it
    work();
  }
}

// All that is posted now; on a thread that lends itself only what comes before the first that is for the loop's thread.
void EventLoop::Impl::run_posted(bool lent) {
  // What stop() or an exception leaves over stays first in the queue.
  struct Batch {
    Impl& loop;
    std::vector<Posted> posted;
    std::size_t done = 0;
    ~Batch() {
      if (done == posted.size()) return;
      std::lock_guard lock(loop.mutex_);
      const auto rest = posted.begin() + static_cast<std::ptrdiff_t>(done);
      loop.posted_.insert(loop.posted_.begin(), std::make_move_iterator(rest), std::make_move_iterator(posted.end()));
    }
  } batch{*this, {}};
  {
    std::lock_guard lock(mutex_);
    batch.posted.swap(posted_);
    if (lent) {
      const auto rest =
          std::find_if(batch.posted.begin(), batch.posted.end(), [](const Posted& posted) { return !posted.anywhere; });
      posted_.assign(std::make_move_iterator(rest), std::make_move_iterator(batch.posted.end()));
      batch.posted.erase(rest, batch.posted.end());
    }
  }
  while (batch.done < batch.posted.size() && !stop_) {
    const Work work = std::move(batch.posted[batch.done++].work);
    work();
  }
}

void EventLoop::Impl::run_end_of_turn() {
  std::vector<Work> batch;
  batch.swap(end_of_turn_);
  for (Work& work : batch) work();
}

void EventLoop::Impl::stop() {
  stop_ = true;
  std::lock_guard lock(mutex_);
  if (!dead_) asio::post(*io_, [] {});
}

void EventLoop::Impl::wake() {
  if (wake_sent_) return;
  wake_sent_ = true;
  asio::post(*io_, [] {});
}

bool EventLoop::Impl::may_lend() const {
  return holder_.load() == std::thread::id() && running_ && !stop_ && !posted_.empty() && posted_.front().anywhere;
}

// Whoever has the turn looks at the queue before giving it up, so that only a loop at rest must be woken.
bool EventLoop::Impl::put(Posted posted) {
  std::lock_guard lock(mutex_);
  if (dead_) return false;
  const bool by_lender = posted.by_lender;
  posted_.push_back(std::move(posted));
  if (by_lender && may_lend()) {
    holder_ = std::this_thread::get_id();
    left_to_lenders_ = false;
    return true;
  }
  if (holder_.load() == std::thread::id()) wake();
  return false;
}

void EventLoop::Impl::post(Work work) { put({std::move(work), false, false}); }
void EventLoop::Impl::post_anywhere(Work work) { put({std::move(work), true, false}); }
void EventLoop::Impl::run_here_or_post(Work work) {
  if (put({std::move(work), true, true})) lend();
}

void EventLoop::Impl::help() {
  if (!left_to_lenders_.load(std::memory_order_relaxed)) return;
  {
    std::lock_guard lock(mutex_);
    if (!may_lend()) return;
    holder_ = std::this_thread::get_id();
    left_to_lenders_ = false;
  }
  lend();
}

void EventLoop::Impl::dispatch(Work work) {
  if (in_loop() || !running()) {
    work();
  } else {
    post(std::move(work));
  }
}

void EventLoop::Impl::run_and_wait(const Work& work) {
  if (in_loop()) return work();
  struct Call {
    const Work* work;  // null once nobody waits
    bool started = false, done = false;
    std::exception_ptr error;
  };
  auto call = std::make_shared<Call>(Call{&work, false, false, nullptr});
  post([this, call] {
    const Work* wanted;
    {
      std::lock_guard lock(mutex_);
      wanted = call->work;
      call->started = wanted != nullptr;
    }
    if (wanted == nullptr) return;
    try {
      (*wanted)();
    } catch (...) {
      call->error = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    call->done = true;
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return call->done || (!call->started && (exited_ || dead_)); });
  if (!call->done) {
    call->work = nullptr;
    throw ClosedError("the event loop has stopped");
  }
  if (call->error) std::rethrow_exception(call->error);
}

void EventLoop::Impl::finish_on_loop(const Work& work) {
  if (in_loop() || !running()) return work();
  try {
    run_and_wait(work);
  } catch (const ClosedError&) {
    work();
  }
}

std::unique_ptr<EventLoop::Timer> EventLoop::Impl::after(std::chrono::nanoseconds delay, Work work) {
  auto entry = std::make_shared<TimerEntry>();
  entry->work = std::move(work);
  const auto now = Clock::now();
  const auto until_end = Clock::time_point::max() - now;
  entry->position = timers_.emplace(now + std::min<Clock::duration>(delay, until_end), entry);
  entry->queued = true;
  return std::make_unique<LoopTimer>(weak_from_this(), std::move(entry));
}

void EventLoop::Impl::cancel(TimerEntry& entry) {
  if (!entry.queued) return;
  entry.queued = false;
  timers_.erase(entry.position);
}

void EventLoop::Impl::add_resident(LoopResident* key, std::weak_ptr<LoopResident> resident) {
  std::lock_guard lock(mutex_);
  residents_.emplace(key, std::move(resident));
}

void EventLoop::Impl::remove_resident(LoopResident* key) {
  std::lock_guard lock(mutex_);
  residents_.erase(key);
}

void EventLoop::Impl::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  signal_handler_ = std::move(handler);
  signals_ = std::make_unique<asio::signal_set>(*io_);
  for (const int signal : signals) signals_->add(signal);
  wait_for_signal();
}

void EventLoop::Impl::wait_for_signal() {
  signals_->async_wait(in_turn([this](const asio::error_code& error, int signal) {
    if (error) return;
    wait_for_signal();
    signal_handler_(signal);
  }));
}

TurnWatch& EventLoop::Impl::watch_turns() {
  if (watch_ == nullptr) watch_ = std::make_unique<TurnWatch>();
  return *watch_;
}

void EventLoop::Impl::destroy() {
  std::unordered_map<LoopResident*, std::weak_ptr<LoopResident>> residents;
  std::vector<Posted> posted;
  {
    std::lock_guard lock(mutex_);
    dead_ = true;
    residents.swap(residents_);
    posted.swap(posted_);
    changed_.notify_all();
  }
  for (auto& [key, weak] : residents) {
    if (auto resident = weak.lock()) resident->loop_gone();
  }
  // What is dropped here may hold connections and timers, whose destructors come back: by now that finds a dead loop.
  posted.clear();
  std::vector<Work>().swap(end_of_turn_);
  for (auto timers = std::move(timers_); auto& [time, entry] : timers) entry->queued = false;
  timers_.clear();
  signals_.reset();
  signal_handler_ = nullptr;
  guard_.reset();
  io_.reset();
}

EventLoop::EventLoop() : impl_(std::make_shared<Impl>()) {}

EventLoop::~EventLoop() {
  assert(!in_loop());
  if (impl_->thread.joinable()) {
    stop();
    join();
  }
  impl_->destroy();
}

void EventLoop::run() { impl_->run(); }

void EventLoop::start(std::string name) {
  impl_->about_to_run();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the new thread
  try {
    impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  } catch (...) {
    impl_->not_running();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  name.resize(std::min<std::size_t>(name.size(), 15));  // the kernel's limit
  pthread_setname_np(impl_->thread.native_handle(), name.c_str());
}

void EventLoop::stop() { impl_->stop(); }

void EventLoop::join() {
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool EventLoop::in_loop() const { return impl_->in_loop(); }
void EventLoop::post(std::function<void()> work) { impl_->post(std::move(work)); }
void EventLoop::post_anywhere(std::function<void()> work) { impl_->post_anywhere(std::move(work)); }
void EventLoop::run_here_or_post(std::function<void()> work) { impl_->run_here_or_post(std::move(work)); }
void EventLoop::help() { impl_->help(); }
void EventLoop::at_end_of_turn(std::function<void()> work) { impl_->at_end_of_turn(std::move(work)); }
void EventLoop::run_and_wait(const std::function<void()>& work) { impl_->run_and_wait(work); }

std::unique_ptr<EventLoop::Timer> EventLoop::after(std::chrono::nanoseconds delay, std::function<void()> work) {
  return impl_->after(delay, std::move(work));
}

void EventLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  impl_->on_signals(signals, std::move(handler));
}

TurnWatch& EventLoop::watch_turns() { return impl_->watch_turns(); }

void EventLoop::on_termination_signal(std::function<void(int)> handler) {
  on_signals({SIGINT, SIGTERM}, std::move(handler));
}

}  // namespace tegula
