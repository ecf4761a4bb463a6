// A TCP relay on loopback that a test can cut: what a lost network looks like.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tegula::test {

class Proxy {
 public:
  explicit Proxy(std::uint16_t target_port);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  std::string address() const { return "tcp://127.0.0.1:" + std::to_string(port_); }
  void cut();                                                 // every connection, in mid-stream
  void refuse(bool yes);                                      // new ones are closed at once
  void retarget(std::uint16_t port) { target_port_ = port; }  // of new ones
  unsigned connections() const { return accepted_; }

 private:
  struct Pair {
    int client = -1, server = -1;
  };
  void accept_all();
  void relay(int from, int to);

  std::atomic<std::uint16_t> target_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  std::atomic<bool> refuse_{false};
  std::atomic<unsigned> accepted_{0};
  std::mutex mutex_;
  std::vector<Pair> pairs_;          // mutex
  std::vector<std::thread> relays_;  // mutex
  std::thread acceptor_;
};

}  // namespace tegula::test
