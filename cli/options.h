// What `tegula` was asked to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace tegula::cli {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Options {
  std::string command;       // "status", "why", ...
  std::string subject;       // a key, a worker, a client, a file
  std::uint64_t copies = 2;  // replicate
  std::uint64_t tasks = 0;   // dump; 0: as many as the scheduler would
  bool json = false;

  std::string scheduler;  // address or scheduler file; "": as the configuration has it
  std::string config_file;
  bool insecure = false;
  std::string timeout = "3s";  // for connecting

  // replay
  std::optional<std::uint64_t> from, until;  // events
  bool step = false, check = false, status = false;
  std::string story, why;
};

}  // namespace tegula::cli
