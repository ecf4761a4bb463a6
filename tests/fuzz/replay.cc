// Runs a fuzz target without libFuzzer, so that any compiler builds it and ordinary tests run it:
//
//   replay FILE or FOLDER...          each file's bytes, in the order of their names
//   replay --random COUNT SEED        bytes of a generator; those of a failure are written to ./failed-input
//
// A target aborts when something is wrong, so the last line printed names what did it.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::filesystem::path> files_of(const std::filesystem::path& place) {
  if (!std::filesystem::is_directory(place)) return {place};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(place)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

bool replay(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    std::fprintf(stderr, "%s cannot be read\n", file.c_str());
    return false;
  }
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);  // before an abort
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  return true;
}

std::vector<char> tried;  // now, for the handler of its abort

void keep_tried(int) {
  std::ofstream("failed-input", std::ios::binary).write(tried.data(), static_cast<std::streamsize>(tried.size()));
}

void try_random(std::uint64_t count, std::uint64_t seed) {
  constexpr std::size_t kLongest = 512;
  std::signal(SIGABRT, &keep_tried);
  std::mt19937_64 random(seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    tried.resize(random() % kLongest);
    for (char& byte : tried) byte = static_cast<char>(random());
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(tried.data()), tried.size());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--random") {
    try_random(std::stoull(argv[2]), std::stoull(argv[3]));
    return 0;
  }
  std::size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : files_of(argv[i])) {
      if (!replay(file)) return 2;
      ++replayed;
    }
  }
  std::printf("%zu inputs\n", replayed);
  return replayed == 0 ? 2 : 0;  // a test that replays nothing tests nothing
}
