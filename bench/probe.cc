#include "bench/probe.h"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "bench/sockets.h"
#include "tegula/error.h"

namespace tegula::bench {
namespace {

constexpr int kTimes = 4000;

// Of `once`, called often; microseconds.
double median_us(const std::function<void()>& once) {
  std::vector<double> times;
  for (int i = 0; i < kTimes; ++i) {
    const auto start = std::chrono::steady_clock::now();
    once();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  return median(std::move(times));
}

double loopback_round_trip_us() {
  const Socket listener = listen_on_loopback();
  const Socket near = connect_on_loopback(port_of(listener));
  const Socket far(::accept(listener.fd(), nullptr, nullptr));
  far.send_at_once();
  std::thread echo([&far] {
    char byte = 0;
    while (recv(far.fd(), &byte, 1, 0) == 1 && send(far.fd(), &byte, 1, MSG_NOSIGNAL) == 1) continue;
  });
  bool broken = false;
  const double us = median_us([&] {
    char byte = 1;
    broken = broken || send(near.fd(), &byte, 1, MSG_NOSIGNAL) != 1 || recv(near.fd(), &byte, 1, 0) != 1;
  });
  shutdown(near.fd(), SHUT_RDWR);
  echo.join();
  if (broken) throw ConnectionError("a connection on loopback broke");
  return us;
}

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr,
          0);
}

void await(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  for (std::uint32_t seen = word.load(); seen != value; seen = word.load()) futex(word, FUTEX_WAIT, seen);
}

void tell(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value);
  futex(word, FUTEX_WAKE, 1);
}

double futex_hop_us() {
  std::atomic<std::uint32_t> there{0}, back{0};
  std::thread other([&] {
    for (std::uint32_t i = 1; i <= kTimes; ++i) {
      await(there, i);
      tell(back, i);
    }
  });
  std::uint32_t turn = 0;
  const double us = median_us([&] {
    tell(there, ++turn);
    await(back, turn);
  });
  other.join();
  return us / 2;
}

}  // namespace

Probe probe_machine() { return {loopback_round_trip_us(), futex_hop_us()}; }

}  // namespace tegula::bench
