#include "bench/chaos/network.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace tegula::chaos {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

int open_own_namespace() {
  const int opened = open(kOwnNamespace, O_RDONLY | O_CLOEXEC);
  if (opened < 0) throw NetworkUnavailable(fmt::format("cannot open {}: {}", kOwnNamespace, std::strerror(errno)));
  return opened;
}

void leave_for_a_new_namespace() {
  if (unshare(CLONE_NEWNET) != 0) {
    throw NetworkUnavailable(fmt::format("cannot make a network namespace: {} (it takes root)", std::strerror(errno)));
  }
}

// The namespace lives as long as something refers to it: here an open file.
int make_namespace() {
  int opened = -1;
  std::string failure;
  std::thread([&] {
    try {
      leave_for_a_new_namespace();
      opened = open_own_namespace();
    } catch (const NetworkUnavailable& error) {
      failure = error.what();
    }
  }).join();
  if (opened < 0) throw NetworkUnavailable(failure);
  return opened;
}

std::string hardware_address(unsigned host) { return fmt::format("02:00:00:00:00:{:02x}", host + 1); }
constexpr const char* kNowhere = "02:00:00:00:00:00";  // no host has it: a frame that is sent there is dropped by all

// Runs it and waits; its outputs together.
std::pair<int, std::string> run_command(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {-1, std::strerror(errno)};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  if (error != 0) output = fmt::format("{}: {}", command[0], std::strerror(error));
  char buffer[1024];
  ssize_t count = 0;
  while ((count = read(ends[0], buffer, sizeof(buffer))) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) output.append(buffer, static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = -1;
  while (error == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return {status, output};
}

}  // namespace

Network::Network(unsigned hosts) {
  home_ = open_own_namespace();
  try {
    leave_for_a_new_namespace();
    hosts_.push_back(open_own_namespace());
    run(0, fmt::format("ip link set lo up; ip link add {0} type bridge; ip link set {0} address {1}; "
                       "ip addr add {2}/24 dev {0}; ip link set {0} up",
                       device(0), hardware_address(0), address(0)));
    for (unsigned host = 1; host < hosts; ++host) {
      hosts_.push_back(make_namespace());
      run(0, fmt::format("ip link add port{0} type veth peer name {1} netns {2}; "
                         "ip link set port{0} master {3}; ip link set port{0} up",
                         host, device(host), place(host), device(0)));
      run(host, fmt::format("ip link set lo up; ip link set {0} address {1}; ip addr add {2}/24 dev {0}; "
                            "ip link set {0} up",
                            device(host), hardware_address(host), address(host)));
    }
  } catch (...) {
    leave();
    throw;
  }
}

Network::~Network() { leave(); }

void Network::leave() {
  setns(home_, CLONE_NEWNET);
  close(home_);
  for (const int host : hosts_) close(host);
}

std::string Network::address(unsigned host) const { return fmt::format("10.77.0.{}", host + 1); }
std::string Network::device(unsigned host) const { return host == 0 ? "switch0" : "eth0"; }
std::string Network::place(unsigned host) const { return fmt::format("/proc/{}/fd/{}", getpid(), hosts_.at(host)); }

std::vector<std::string> Network::on(unsigned host, std::vector<std::string> command) const {
  command.insert(command.begin(), {"/usr/bin/nsenter", "--net=" + place(host)});
  return command;
}

void Network::run(unsigned host, const std::string& script) const {
  const auto [status, output] = run_command(on(host, {"/bin/sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; " + script}));
  if (status != 0) throw NetworkUnavailable(fmt::format("'{}' failed: {}", script, output));
}

void Network::route(unsigned from, unsigned to, const std::string& hardware) const {
  run(from, fmt::format("ip neigh replace {} lladdr {} dev {} nud permanent", address(to), hardware, device(from)));
}

void Network::cut(unsigned from, unsigned to) {
  cut_.insert({from, to});
  route(from, to, kNowhere);
}
void Network::heal(unsigned from, unsigned to) {
  cut_.erase({from, to});
  route(from, to, hardware_address(to));
}
void Network::cut_both(unsigned one, unsigned other) {
  cut(one, other);
  cut(other, one);
}
void Network::heal_both(unsigned one, unsigned other) {
  heal(one, other);
  heal(other, one);
}

void Network::cut_off(unsigned host) {
  for (unsigned other = 0; other < hosts_.size(); ++other) {
    if (other != host) cut_both(host, other);
  }
}

void Network::heal_all() {
  for (const auto& [from, to] : std::exchange(cut_, {})) route(from, to, hardware_address(to));
  for (const unsigned host : std::set<unsigned>(limited_)) limit(host, 0);
}

void Network::limit(unsigned host, std::uint64_t bytes_per_second) {
  if (bytes_per_second == 0) {
    if (limited_.erase(host) > 0) run(host, fmt::format("tc qdisc del dev {} root", device(host)));
  } else {
    run(host, fmt::format("tc qdisc replace dev {} root tbf rate {}bit burst 64kb latency 200ms", device(host),
                          8 * bytes_per_second));
    limited_.insert(host);
  }
}

}  // namespace tegula::chaos
