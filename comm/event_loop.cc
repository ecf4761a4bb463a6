#include "comm/event_loop.h"

#include <pthread.h>
#include <signal.h>

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
      loop.thread_id_ = std::this_thread::get_id();
      loop.running_ = true;
      std::lock_guard lock(loop.mutex_);
      loop.exited_ = false;
    }
    ~Running() {
      loop.thread_id_ = std::thread::id();
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
  running_ = false;
  std::lock_guard lock(mutex_);
  exited_ = true;
  changed_.notify_all();
}

// One turn: what is ready now (bounded), then what was posted, then the end-of-turn work. Blocks only when there is
// nothing of the last two.
void EventLoop::Impl::turn() {
  if (!end_of_turn_.empty() || has_posted()) {
    io_->poll_one();
  } else if (timers_.empty()) {
    io_->run_one();
  } else {
    io_->run_one_until(timers_.begin()->first);
  }
  for (int handlers = 1; handlers < kMaxHandlersPerTurn && !stop_; ++handlers) {
    if (io_->poll_one() == 0) break;
  }
  run_due_timers();
  run_posted();
  run_end_of_turn();
}

bool EventLoop::Impl::has_posted() {
  std::lock_guard lock(mutex_);
  return !posted_.empty();
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

void EventLoop::Impl::run_posted() {
  // What stop() or an exception leaves over stays first in the queue.
  struct Batch {
    Impl& loop;
    std::vector<Work> work;
    std::size_t done = 0;
    ~Batch() {
      if (done == work.size()) return;
      std::lock_guard lock(loop.mutex_);
      const auto rest = work.begin() + static_cast<std::ptrdiff_t>(done);
      loop.posted_.insert(loop.posted_.begin(), std::make_move_iterator(rest), std::make_move_iterator(work.end()));
    }
  } batch{*this, {}};
  {
    std::lock_guard lock(mutex_);
    wake_sent_ = false;
    batch.work.swap(posted_);
  }
  while (batch.done < batch.work.size() && !stop_) {
    const Work work = std::move(batch.work[batch.done++]);
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

void EventLoop::Impl::post(Work work) {
  std::lock_guard lock(mutex_);
  if (dead_) return;
  posted_.push_back(std::move(work));
  if (wake_sent_ || in_loop()) return;
  wake_sent_ = true;
  asio::post(*io_, [] {});
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
  signals_->async_wait([this](const asio::error_code& error, int signal) {
    if (error) return;
    wait_for_signal();
    signal_handler_(signal);
  });
}

void EventLoop::Impl::destroy() {
  std::unordered_map<LoopResident*, std::weak_ptr<LoopResident>> residents;
  std::vector<Work> posted;
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
void EventLoop::at_end_of_turn(std::function<void()> work) { impl_->at_end_of_turn(std::move(work)); }
void EventLoop::run_and_wait(const std::function<void()>& work) { impl_->run_and_wait(work); }

std::unique_ptr<EventLoop::Timer> EventLoop::after(std::chrono::nanoseconds delay, std::function<void()> work) {
  return impl_->after(delay, std::move(work));
}

void EventLoop::on_signals(const std::vector<int>& signals, std::function<void(int)> handler) {
  impl_->on_signals(signals, std::move(handler));
}

void EventLoop::on_termination_signal(std::function<void(int)> handler) {
  on_signals({SIGINT, SIGTERM}, std::move(handler));
}

}  // namespace tegula
