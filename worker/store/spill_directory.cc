#include "worker/store/spill_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tegula/error.h"
#include "worker/addresses.h"

namespace tegula::worker {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOwnerFile = "owner";

// Where a process number means something: this boot of this host, this process namespace.
std::string process_realm() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::error_code error;
  const fs::path realm = fs::read_symlink("/proc/self/ns/pid", error);
  return boot + " " + (error ? std::string("-") : realm.string());
}

// In clock ticks since the boot; empty when there is no such process.
std::string start_time(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::size_t name_end = text.rfind(')');  // the name may contain anything
  if (name_end == std::string::npos) return "";
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;  // the 22nd of the line
  return fields ? field : "";
}

std::string owner_line(const std::string& pid) {
  return host_name() + "\n" + process_realm() + "\n" + pid + "\n" + start_time(pid) + "\n";
}

// The owner goes last: whoever is interrupted leaves a folder that says whose it was.
bool remove_folder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename() != kOwnerFile) files.push_back(entry.path());
  }
  for (const fs::path& file : files) fs::remove_all(file, error);
  return fs::remove_all(folder, error) > 0 && !error;
}

bool is_stale(const fs::path& folder) {
  std::ifstream in(folder / kOwnerFile);
  std::string host, realm, pid, start;
  if (!std::getline(in, host) || !std::getline(in, realm) || !std::getline(in, pid) || !std::getline(in, start)) {
    return false;  // it is being made, or not ours
  }
  if (host != host_name()) return false;
  const auto boot_of = [](const std::string& text) { return text.substr(0, text.find(' ')); };
  const std::string here = process_realm();
  if (boot_of(realm) != boot_of(here)) return true;  // nothing lives on after a boot
  return realm == here && start_time(pid) != start;
}

}  // namespace

SpillDirectory::SpillDirectory(const std::string& base) {
  std::error_code error;
  fs::create_directories(base, error);
  std::string pattern = (fs::path(base) / (std::string(kPrefix) + "XXXXXX")).string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw FileError("cannot make a folder for spilled values in " + base + ": " + std::strerror(errno));
  }
  path_ = pattern;
  // Written beside and renamed: an incomplete one would say that nobody owns the folder.
  const fs::path owner = fs::path(path_) / kOwnerFile;
  const fs::path beside = fs::path(path_) / "owner.new";
  std::ofstream(beside) << owner_line(std::to_string(getpid())) << std::flush;
  fs::rename(beside, owner, error);
  if (error) {
    const std::string why = error.message();
    fs::remove_all(path_, error);
    throw FileError("cannot write to the folder for spilled values " + path_ + ": " + why);
  }
}

SpillDirectory::~SpillDirectory() { remove_folder(path_); }

std::string SpillDirectory::file(std::uint64_t life, std::uint64_t number) const {
  return path_ + "/" + std::to_string(life) + "-" + std::to_string(number);
}

bool SpillDirectory::in_memory() const {
  struct statfs info {};
  return statfs(path_.c_str(), &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

unsigned SpillDirectory::remove_stale(const std::string& base) {
  std::error_code error;
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(base, error)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    struct stat info {};
    if (lstat(entry.path().c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) continue;
    if (is_stale(entry.path())) stale.push_back(entry.path());
  }
  unsigned removed = 0;
  for (const fs::path& folder : stale) removed += remove_folder(folder) ? 1 : 0;
  return removed;
}

}  // namespace tegula::worker
