#include "client/progress.h"

#include <signal.h>

#include <utility>

namespace tegula::client {

namespace {

constexpr std::uint32_t kIntervalMs = 100;

}  // namespace

struct ProgressNotifier::Mailbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<ProgressReport> latest;  // a report that nobody took is replaced by the next
  bool ended = false;                    // nothing more is wanted
  bool done = false;                     // the listener is not called any more
  std::thread::id runner;

  void run(const std::function<void(const ProgressReport&)>& report) {
    std::unique_lock lock(mutex);
    runner = std::this_thread::get_id();
    while (true) {
      changed.wait(lock, [this] { return ended || latest; });
      if (ended) break;
      const ProgressReport now = *std::exchange(latest, std::nullopt);
      lock.unlock();
      report(now);
      lock.lock();
    }
    done = true;
    changed.notify_all();
  }

  // Waits for the listener, unless it is the one that calls this; whether it is.
  bool end() {
    std::unique_lock lock(mutex);
    ended = true;
    changed.notify_all();
    if (runner == std::this_thread::get_id()) return true;
    changed.wait(lock, [this] { return done; });
    return false;
  }
};

ProgressNotifier::~ProgressNotifier() { stop(); }

void ProgressNotifier::stop() {
  std::shared_ptr<Mailbox> ending;
  {
    std::lock_guard lock(mutex_);
    ending = mailbox_;
  }
  if (!ending) return;
  const bool by_listener = ending->end();
  std::thread ended;
  {
    std::lock_guard lock(mutex_);
    if (mailbox_ != ending) return;  // another thread stopped it too
    mailbox_.reset();
    ended = std::move(thread_);
  }
  if (by_listener) {
    ended.detach();  // it ends when the listener returns
  } else {
    ended.join();
  }
}

void ProgressNotifier::start(SessionCore& core, std::function<void(const ProgressReport&)> report) {
  std::unique_lock lock(mutex_);
  while (mailbox_) {
    lock.unlock();
    stop();
    lock.lock();
  }
  if (!report) {
    core.loop().post([weak = core.weak_from_this()] {
      if (auto self = weak.lock()) self->subscribe(0, nullptr);
    });
    return;
  }
  auto mailbox = std::make_shared<Mailbox>();
  sigset_t all, before;  // signals are for the program's own threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([mailbox, report = std::move(report)] { mailbox->run(report); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  mailbox_ = mailbox;
  core.loop().post([weak = core.weak_from_this(), mailbox] {
    auto self = weak.lock();
    if (!self) return;
    self->subscribe(kIntervalMs, [mailbox](const msg::Progress& progress) {
      std::lock_guard mailbox_lock(mailbox->mutex);
      mailbox->latest =
          ProgressReport{progress.total, progress.done, progress.executing, progress.workers, progress.threads};
      mailbox->changed.notify_all();
    });
  });
}

}  // namespace tegula::client
