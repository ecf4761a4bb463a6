// `tegula-bench scheduler`: the scheduler's core without a cluster.
#pragma once

namespace tegula::sim {

// `argv[0]` is the word "scheduler". Returns the exit status of tegula-bench.
int run_command(int argc, char** argv);

}  // namespace tegula::sim
