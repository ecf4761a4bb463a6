#include "worker/kernel_registry.h"

#include <algorithm>
#include <set>

#include "tegula/error.h"

namespace tegula::worker {

void KernelRegistry::add(const tegula_library& library, const std::string& origin) {
  if (library.abi != TEGULA_KERNEL_ABI) {
    throw ConfigError("kernel library " + origin + " has interface version " + std::to_string(library.abi) +
                      "; this program needs " + std::to_string(TEGULA_KERNEL_ABI));
  }
  std::set<std::string_view> names;
  for (std::uint32_t i = 0; i < library.n_kernels; ++i) {
    const tegula_kernel& kernel = library.kernels[i];
    if (kernel.name == nullptr || kernel.name[0] == '\0')
      throw ConfigError("kernel library " + origin + " has a kernel without a name");
    if (kernel.prepare == nullptr || kernel.release == nullptr || kernel.plan == nullptr || kernel.run == nullptr) {
      throw ConfigError("kernel '" + std::string(kernel.name) + "' of " + origin + " is incomplete");
    }
    const auto taken = kernels_.find(kernel.name);
    if (taken != kernels_.end()) {
      throw ConfigError("kernel '" + std::string(kernel.name) + "' is in " + taken->second.origin + " and in " +
                        origin);
    }
    if (!names.insert(kernel.name).second)
      throw ConfigError("kernel '" + std::string(kernel.name) + "' is twice in " + origin);
  }
  for (std::uint32_t i = 0; i < library.n_kernels; ++i)
    kernels_[library.kernels[i].name] = {&library.kernels[i], origin};
  if (level_.empty() && library.level != nullptr) level_ = library.level;
}

const tegula_kernel* KernelRegistry::find(std::string_view name) const {
  const auto found = kernels_.find(name);
  return found == kernels_.end() ? nullptr : found->second.kernel;
}

std::vector<std::string> KernelRegistry::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : kernels_) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tegula::worker
