// Commands of tegula-bench that have options of their own; and what all of them share on the command line.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "bench/options.h"

namespace CLI {
class App;
}

namespace tegula::bench {

struct Command {
  std::string_view name;
  std::string_view help;
  // argv[0] is the command's name. Returns the exit status of tegula-bench.
  int (*run)(int argc, char** argv);
};
const std::vector<Command>& commands();

int run_metg(int argc, char** argv);
int run_blockwise(int argc, char** argv);
int run_fairness(int argc, char** argv);
int run_clients(int argc, char** argv);
int run_transfer(int argc, char** argv);
int run_out_of_core(int argc, char** argv);

// Where it runs: --scheduler, --in-process, --workers, --threads, --memory-limit.
void declare_cluster(CLI::App& app, Options& options);

// Parses the command line and runs `body`; exit status and errors as main.cc says. ValueError is a command line that
// makes no sense.
int run_command(CLI::App& app, int argc, char** argv, const std::function<void()>& body);

}  // namespace tegula::bench
