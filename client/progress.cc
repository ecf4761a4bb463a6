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
  bool ended = false;

  void run(const std::function<void(const ProgressReport&)>& report) {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ended || latest; });
      if (ended) return;
      const ProgressReport now = *std::exchange(latest, std::nullopt);
      lock.unlock();
      report(now);
      lock.lock();
    }
  }
};

ProgressNotifier::~ProgressNotifier() { stop(); }

void ProgressNotifier::stop() {
  std::thread ended;
  {
    std::lock_guard lock(mutex_);
    if (!mailbox_) return;
    {
      std::lock_guard mailbox_lock(mailbox_->mutex);
      mailbox_->ended = true;
      mailbox_->changed.notify_all();
    }
    mailbox_.reset();
    ended = std::move(thread_);
  }
  if (ended.get_id() == std::this_thread::get_id()) {
    ended.detach();  // called by the listener itself: the thread ends when that returns
  } else {
    ended.join();
  }
}

void ProgressNotifier::start(SessionCore& core, std::function<void(const ProgressReport&)> report) {
  stop();
  if (!report) {
    core.loop().post([weak = core.weak_from_this()] {
      if (auto self = weak.lock()) self->subscribe(0, nullptr);
    });
    return;
  }
  auto mailbox = std::make_shared<Mailbox>();
  {
    sigset_t all, before;  // signals are for the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::lock_guard lock(mutex_);
    mailbox_ = mailbox;
    thread_ = std::thread([mailbox, report = std::move(report)] { mailbox->run(report); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  core.loop().post([weak = core.weak_from_this(), mailbox] {
    auto self = weak.lock();
    if (!self) return;
    self->subscribe(kIntervalMs, [mailbox](const msg::Progress& progress) {
      std::lock_guard lock(mailbox->mutex);
      mailbox->latest =
          ProgressReport{progress.total, progress.done, progress.executing, progress.workers, progress.threads};
      mailbox->changed.notify_all();
    });
  });
}

}  // namespace tegula::client
