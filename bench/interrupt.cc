#include "bench/interrupt.h"

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

namespace tegula::bench {
namespace {

std::atomic<bool> interrupted = false;
std::mutex mutex;
std::optional<Client> watched;  // guarded by mutex

}  // namespace

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::thread([signals = signals_] {
    int signal = 0;
    sigwait(&signals, &signal);
    interrupted = true;
    if (std::lock_guard lock(mutex); watched) watched->close();
    // A second one means it: the daemons end with this process.
    sigwait(&signals, &signal);
    std::_Exit(130);
  }).detach();
}

bool Interrupt::caught() { return interrupted; }

void Interrupt::watch(std::optional<Client> client) {
  std::lock_guard lock(mutex);
  watched = std::move(client);
}

}  // namespace tegula::bench
