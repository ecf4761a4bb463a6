// What this machine and its control groups allow.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tegula::worker {

unsigned usable_cores();         // by this process's affinity; at least 1
void raise_descriptor_limit();   // the soft limit of open files to the hard one
std::uint64_t resident_bytes();  // of this process

// The machine's memory, or the limit of this process's control group (v1 or v2, any of its parents) where that is less.
// The roots are for tests.
std::uint64_t usable_memory(const std::filesystem::path& proc = "/proc",
                            const std::filesystem::path& cgroup = "/sys/fs/cgroup");

// "auto": usable memory divided by `workers`; "none" and "0": 0, no limit; "512MiB", "0.5" (a share of the usable
// memory), "50%". Throws ConfigError.
std::uint64_t parse_memory_limit(const std::string& text, unsigned workers);

}  // namespace tegula::worker
