// The flags of tegula-worker.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tegula::worker {

struct CommandLine {
  std::vector<std::pair<std::string, std::string>> settings;  // configuration keys with their values, in order
  std::string scheduler;  // address, or the path of a scheduler file; "": none given
  std::string config_file;
  std::vector<std::string> environment;  // "NAME=value"
  unsigned processes = 1;
  int supervised = -1;      // in a process that a nanny started: the descriptor of its vitals
  std::optional<int> exit;  // --help, --version, or wrong: printed already
};

// A flag given twice: the last one counts.
CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace tegula::worker
