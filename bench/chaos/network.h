// A small network of this process's own: hosts (network namespaces) on one switch, whose links can be cut in either
// direction and slowed down. Nothing of it is visible to the rest of the machine, and it goes with the process, however
// that ends. Needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bench/chaos/unavailable.h"

namespace tegula::chaos {

class NetworkUnavailable : public Unavailable {
 public:
  using Unavailable::Unavailable;
};

class Network {
 public:
  // The calling thread, and threads and processes that it starts from now on, are on host 0. Throws NetworkUnavailable
  // saying what this machine does not permit.
  explicit Network(unsigned hosts);
  ~Network();  // by the same thread, which is back on the network of the machine; processes on other hosts have ended
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  std::string address(unsigned host) const;
  // The command line that runs this one on that host.
  std::vector<std::string> on(unsigned host, std::vector<std::string> command) const;

  // What one host sends to another vanishes without a trace, as behind a broken switch.
  void cut(unsigned from, unsigned to);
  void heal(unsigned from, unsigned to);
  void cut_both(unsigned one, unsigned other);
  void heal_both(unsigned one, unsigned other);
  void cut_off(unsigned host);  // from all others
  void heal_all();              // as new
  // What the host sends, to all others together; 0: as fast as it can.
  void limit(unsigned host, std::uint64_t bytes_per_second);

 private:
  void leave();
  void route(unsigned from, unsigned to, const std::string& hardware_address) const;
  std::string place(unsigned host) const;  // of its namespace
  std::string device(unsigned host) const;
  void run(unsigned host, const std::string& script) const;  // throws NetworkUnavailable with what it printed

  int home_ = -1;                                // the namespace that the thread came from
  std::vector<int> hosts_;                       // their namespaces, open
  std::set<std::pair<unsigned, unsigned>> cut_;  // from, to
  std::set<unsigned> limited_;
};

}  // namespace tegula::chaos
