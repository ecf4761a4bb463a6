#include "worker/kernel_loader.h"

#include <dlfcn.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>

#include "src/log.h"
#include "tegula/error.h"
#include "tegula/kernel.h"
#include "worker/kernel_registry.h"

namespace tegula::worker {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 3> kLevels = {"v4", "v3", "portable"};  // best first

#if defined(__x86_64__)
// The parts of x86-64-v3 that not every compiler's __builtin_cpu_supports knows.
bool has_small_v3_parts() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kMovbe = 1u << 22, kF16c = 1u << 29;
  if ((c & kMovbe) == 0 || (c & kF16c) == 0) return false;
  constexpr unsigned kLzcnt = 1u << 5;
  return __get_cpuid(0x80000001u, &a, &b, &c, &d) != 0 && (c & kLzcnt) != 0;
}
#endif

// The directory of the file that this code was loaded from: libtegula, or the program itself.
fs::path directory_of_this_code() {
  Dl_info info{};
  static const char anchor = 0;
  if (dladdr(&anchor, &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const fs::path file = fs::canonical(info.dli_fname, error);
  return error ? fs::path() : file.parent_path();
}

fs::path directory_of_program() {
  std::error_code error;
  const fs::path file = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : file.parent_path();
}

fs::path library_file(const fs::path& directory, std::string_view level) {
  return directory / ("libtegula_cpu_" + std::string(level) + ".so");
}

std::string join(const std::vector<fs::path>& paths) {
  std::string text;
  for (const fs::path& path : paths) text += (text.empty() ? "" : ", ") + path.string();
  return text;
}

// Null when the library says that it cannot run here. Throws ConfigError when it cannot be opened.
const tegula_library* open_library(const fs::path& file) {
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw ConfigError("cannot load the kernel library " + file.string() + ": " + dlerror());
  void* symbol = dlsym(handle, "tegula_kernel_library");
  if (symbol == nullptr)
    throw ConfigError(file.string() + " is no kernel library: it has no symbol tegula_kernel_library");
  return reinterpret_cast<tegula_kernel_library_fn>(symbol)();
}

}  // namespace

std::vector<fs::path> kernel_directories(const std::string& path) {
  std::vector<fs::path> directories;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    if (end > begin) directories.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  if (!directories.empty()) return directories;
  for (const fs::path& base : {directory_of_this_code(), directory_of_program()}) {
    if (base.empty()) continue;
    for (const fs::path& candidate : {base / "tegula/kernels", (base / "../lib/tegula/kernels").lexically_normal()}) {
      if (std::find(directories.begin(), directories.end(), candidate) == directories.end())
        directories.push_back(candidate);
    }
  }
  return directories;
}

bool processor_runs(std::string_view level) {
  if (level == "portable") return true;
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  __builtin_cpu_supports("fma") && has_small_v3_parts();
  if (level == "v3") return v3;
  if (level == "v4") {
    return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
#endif
  return false;
}

std::shared_ptr<const KernelRegistry> load_kernels(const std::string& path, const std::string& wanted) {
  const std::string level = wanted == "auto" ? "" : wanted;
  if (!level.empty() && std::find(kLevels.begin(), kLevels.end(), level) == kLevels.end()) {
    throw ConfigError("kernels.level is '" + level + "'; there is portable, v3 and v4");
  }
  if (!level.empty() && !processor_runs(level))
    throw ConfigError("this processor does not run kernels of level " + level);

  const std::vector<fs::path> directories = kernel_directories(path);
  for (const fs::path& directory : directories) {
    for (const std::string_view candidate : kLevels) {
      if (level.empty() ? !processor_runs(candidate) : candidate != level) continue;
      const fs::path file = library_file(directory, candidate);
      std::error_code error;
      if (!fs::exists(file, error)) continue;
      const tegula_library* library = open_library(file);
      if (library == nullptr) continue;
      auto registry = std::make_shared<KernelRegistry>();
      registry->add(*library, file.string());
      log::info("worker", "kernels: {} of {}, level {}", library->n_kernels, file.string(), candidate);
      return registry;
    }
  }
  throw ConfigError("no kernel library" + (level.empty() ? std::string() : " of level " + level) + " in " +
                    (directories.empty() ? "any directory" : join(directories)) + "; kernels.path says where they are");
}

}  // namespace tegula::worker
