// The kernels that a worker has, by name. Filled once before use; then read from any thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tegula/kernel.h"

namespace tegula::worker {

class KernelRegistry {
 public:
  // Adds a library's kernels. The table must live as long as the registry. `origin` names it in errors (a file). Throws
  // ConfigError for another interface version, an incomplete kernel, or a name that is taken; nothing is added then.
  void add(const tegula_library& library, const std::string& origin);

  const tegula_kernel* find(std::string_view name) const;  // null when there is none
  std::vector<std::string> names() const;                  // sorted
  const std::string& level() const { return level_; }      // of the first library that has levels; "" for none

 private:
  struct Entry {
    const tegula_kernel* kernel = nullptr;
    std::string origin;
  };
  std::unordered_map<std::string_view, Entry> kernels_;  // views of the tables' own names
  std::string level_;
};

}  // namespace tegula::worker
