#pragma once

#include <string>

#include "cli/options.h"
#include "tegula/error.h"

namespace tegula::cli {

// Each prints to standard output and returns the exit status. Throws Error.
int run_online(const Options& options);  // everything that asks a scheduler
int run_replay(const Options& options);

// Answers of the scheduler as text for people. `json` is what scheduler/queries.h gives.
std::string status_text(const std::string& json);
std::string why_text(const std::string& json);
std::string story_text(const std::string& json);
std::string task_text(const std::string& json);
std::string worker_text(const std::string& json);

}  // namespace tegula::cli
