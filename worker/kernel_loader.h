// Finds the kernel libraries and opens the best one that this processor runs.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tegula::worker {

class KernelRegistry;

// Where kernel libraries are looked for, in this order: the directories in `path`, separated by colons, when it is not
// empty; else tegula/kernels beside the shared object that holds this code, and ../lib/tegula/kernels from there, then
// the same two for the running program.
std::vector<std::filesystem::path> kernel_directories(const std::string& path);

// Does this processor (and its operating system) run code of "portable", "v3", "v4"? False for other names.
bool processor_runs(std::string_view level);

// Loads libtegula_cpu_<level>.so of the first directory that has one: the highest level that this processor runs, or
// the one named by `level` ("" and "auto": none). Libraries are never closed. Throws ConfigError naming the directories
// when none is found, and what is wrong with one that does not load.
std::shared_ptr<const KernelRegistry> load_kernels(const std::string& path, const std::string& level);

}  // namespace tegula::worker
