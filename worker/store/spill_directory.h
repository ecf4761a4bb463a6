// A worker's folder for spilled values, and what is left of those of dead workers. Each folder says inside whose it is:
// host, boot, process namespace, process and when that began. There are no file locks: on network file systems they are
// slow, or none.
#pragma once

#include <cstdint>
#include <string>

namespace tegula::worker {

class SpillDirectory {
 public:
  static constexpr const char* kPrefix = "tegula-spill-";

  // Makes a fresh folder below `base`, for this user only. Throws FileError.
  explicit SpillDirectory(const std::string& base);
  ~SpillDirectory();  // removes it with everything in it
  SpillDirectory(const SpillDirectory&) = delete;
  SpillDirectory& operator=(const SpillDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string file(std::uint64_t life, std::uint64_t number) const;
  bool in_memory() const;  // the file system is tmpfs: what is written there takes memory

  // Removes folders of this user below `base` whose worker lived on this host and is dead. Returns how many.
  static unsigned remove_stale(const std::string& base);

 private:
  std::string path_;
};

}  // namespace tegula::worker
