// The libraries as files: one exported symbol each, the right names.
#include <elf.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

// Names of the symbols that a 64-bit ELF file offers to others.
std::set<std::string> exported_symbols(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto read = [&bytes]<typename T>(T, std::size_t offset) {
    T value;
    if (offset + sizeof(T) > bytes.size()) throw std::runtime_error("a truncated ELF file");
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
  };
  const auto header = read(Elf64_Ehdr{}, 0);
  std::set<std::string> names;
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const auto section = read(Elf64_Shdr{}, header.e_shoff + i * header.e_shentsize);
    if (section.sh_type != SHT_DYNSYM) continue;
    const auto strings = read(Elf64_Shdr{}, header.e_shoff + section.sh_link * header.e_shentsize);
    for (std::size_t at = 0; at < section.sh_size; at += section.sh_entsize) {
      const auto symbol = read(Elf64_Sym{}, section.sh_offset + at);
      if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
      names.insert(bytes.c_str() + strings.sh_offset + symbol.st_name);
    }
  }
  return names;
}

TEST(KernelLibrary, ExportsOneSymbol) {
  for (const Library& library : Library::all()) {
    const std::string path = Library::directory() + "/libtegula_cpu_" + library.level() + ".so";
    EXPECT_EQ(exported_symbols(path), (std::set<std::string>{"tegula_kernel_library"})) << path;
  }
}

TEST(KernelLibrary, SaysWhatItIs) {
  for (const Library& library : Library::all()) {
    EXPECT_EQ(library.table()->abi, static_cast<std::uint32_t>(TEGULA_KERNEL_ABI));
    EXPECT_STREQ(library.table()->name, "cpu");
    EXPECT_EQ(library.table()->level, library.level());
    for (const char* name : {"tegula.nop", "tegula.busy", "tegula.hog", "tegula.program", "tegula.reduce",
                             "tegula.assemble", "tegula.from_bytes", "tegula.read_npy", "tegula.write_npy"}) {
      EXPECT_STREQ(library.kernel(name).name, name);
    }
  }
}

TEST(KernelLibrary, NopPutsOutZeros) {
  TestTask task;
  task.declared = {{DType::kInt32, {2, 3}, {}}, {DType::kFloat64, {kUnknown, 4}, {}}};
  const auto results = Library::best().run("tegula.nop", {}, task);
  EXPECT_EQ(results[0].values<std::int32_t>(), std::vector<std::int32_t>(6, 0));
  EXPECT_EQ(results[1].shape, (Shape{0, 4}));
}

}  // namespace
}  // namespace tegula::test
