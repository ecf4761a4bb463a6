// Which kernels a worker has: the registry, and finding libraries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tegula/error.h"
#include "tests/worker/test_kernels.h"
#include "worker/kernel_loader.h"
#include "worker/limits.h"

namespace tegula::worker {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

template <typename Call>
std::string config_error(Call call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError";
}

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "tegula-worker-test.XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }

 private:
  fs::path path_;
};

TEST(KernelRegistryTest, FindsByName) {
  const auto registry = test_kernels();
  ASSERT_NE(registry->find("test.nop"), nullptr);
  EXPECT_STREQ(registry->find("test.nop")->name, "test.nop");
  EXPECT_EQ(registry->find("test.no"), nullptr);
  const auto names = registry->names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_THAT(names, testing::Contains("test.sum"));
}

TEST(KernelRegistryTest, RefusesWhatDoesNotFit) {
  const tegula_kernel* nop = test_kernels()->find("test.nop");
  KernelRegistry registry;
  const tegula_library other_abi = {TEGULA_KERNEL_ABI + 1, "x", "", 1, nop};
  EXPECT_THAT(config_error([&] { registry.add(other_abi, "file.so"); }),
              AllOf(HasSubstr("file.so"), HasSubstr("version 2")));
  tegula_kernel half = *nop;
  half.run = nullptr;
  const tegula_library incomplete = {TEGULA_KERNEL_ABI, "x", "", 1, &half};
  EXPECT_THAT(config_error([&] { registry.add(incomplete, "file.so"); }),
              HasSubstr("'test.nop' of file.so is incomplete"));
  const tegula_kernel twice[] = {*nop, *nop};
  const tegula_library doubled = {TEGULA_KERNEL_ABI, "x", "", 2, twice};
  EXPECT_THAT(config_error([&] { registry.add(doubled, "file.so"); }), HasSubstr("twice"));
  EXPECT_TRUE(registry.names().empty()) << "nothing of a refused library is kept";
  const tegula_library good = {TEGULA_KERNEL_ABI, "x", "v3", 1, nop};
  registry.add(good, "first.so");
  EXPECT_EQ(registry.level(), "v3");
  EXPECT_THAT(config_error([&] { registry.add(good, "second.so"); }),
              AllOf(HasSubstr("first.so"), HasSubstr("second.so")));
}

TEST(KernelLoaderTest, NamesTheDirectoriesItLookedIn) {
  const Folder empty, other;
  const std::string both = empty.path().string() + ":" + other.path().string();
  EXPECT_EQ(kernel_directories(both), (std::vector<fs::path>{empty.path(), other.path()}));
  EXPECT_THAT(config_error([&] { load_kernels(both, ""); }),
              AllOf(HasSubstr("no kernel library"), HasSubstr(empty.path().string()), HasSubstr(other.path().string()),
                    HasSubstr("kernels.path")));
  EXPECT_THAT(config_error([&] { load_kernels(empty.path().string(), "v9"); }), HasSubstr("'v9'"));
}

TEST(KernelLoaderTest, SaysWhatIsWrongWithALibrary) {
  const Folder folder;
  folder.write("libtegula_cpu_portable.so", "this is no shared object");
  EXPECT_THAT(config_error([&] { load_kernels(folder.path().string(), "portable"); }),
              AllOf(HasSubstr("cannot load"), HasSubstr("libtegula_cpu_portable.so")));
}

TEST(KernelLoaderTest, LooksBesideThisProgramWhenNoPathIsGiven) {
  const auto directories = kernel_directories("");
  const fs::path own = fs::read_symlink("/proc/self/exe").parent_path();
  EXPECT_THAT(directories, testing::Contains(own / "tegula/kernels"));
  EXPECT_THAT(directories, testing::Contains((own / "../lib/tegula/kernels").lexically_normal()));
}

TEST(KernelLoaderTest, LoadsTheBuiltInLibrary) {
  const char* path = std::getenv("TEGULA_KERNELS__PATH");
  if (path == nullptr) GTEST_SKIP() << "TEGULA_KERNELS__PATH is not set";
  const auto registry = load_kernels(path, "");
  EXPECT_NE(registry->find("tegula.program"), nullptr);
  EXPECT_TRUE(processor_runs(registry->level()));
  EXPECT_EQ(load_kernels(path, "portable")->level(), "portable");
}

TEST(KernelLoaderTest, HigherLevelsNeedTheLowerOnes) {
  EXPECT_TRUE(processor_runs("portable"));
  EXPECT_FALSE(processor_runs("v5"));
  EXPECT_TRUE(!processor_runs("v4") || processor_runs("v3"));
}

// ---- limits
// ----------------------------------------------------------------------------------------------------------

TEST(LimitsTest, TheLeastOfMachineAndControlGroupsCounts) {
  const Folder root;
  root.write("proc/meminfo", "MemFree: 10 kB\nMemTotal:       8000000 kB\n");
  root.write("proc/self/cgroup", "0::/user/job\n");
  const auto memory = [&] { return usable_memory(root.path() / "proc", root.path() / "cg"); };
  EXPECT_EQ(memory(), 8000000ull * 1024);
  root.write("cg/user/job/memory.max", "max\n");
  EXPECT_EQ(memory(), 8000000ull * 1024);
  root.write("cg/user/memory.max", "5000000\n");
  EXPECT_EQ(memory(), 5000000u) << "a parent's limit binds too";
  root.write("cg/user/job/memory.max", "4000000\n");
  EXPECT_EQ(memory(), 4000000u);
  root.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/old\n");
  EXPECT_EQ(memory(), 8000000ull * 1024);
  root.write("cg/memory/old/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(memory(), 8000000ull * 1024);
  root.write("cg/memory/old/memory.limit_in_bytes", "3000000\n");
  EXPECT_EQ(memory(), 3000000u);
}

TEST(LimitsTest, MemoryLimitIsReadAsWritten) {
  EXPECT_EQ(parse_memory_limit("none", 2), 0u);
  EXPECT_EQ(parse_memory_limit("0", 2), 0u);
  EXPECT_EQ(parse_memory_limit("512MiB", 2), 512u << 20);
  EXPECT_EQ(parse_memory_limit("auto", 4), usable_memory() / 4);
  EXPECT_EQ(parse_memory_limit("50%", 4), usable_memory() / 2);
  EXPECT_EQ(parse_memory_limit("0.25", 1), usable_memory() / 4);
  for (const char* wrong : {"", "lots", "150%", "1.5", "-1", "12parsecs"}) {
    EXPECT_THAT(config_error([&] { parse_memory_limit(wrong, 1); }), HasSubstr("'" + std::string(wrong) + "'"));
  }
  EXPECT_GT(resident_bytes(), 0u);
  EXPECT_GE(usable_cores(), 1u);
}

}  // namespace
}  // namespace tegula::worker
