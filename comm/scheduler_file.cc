#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula {

namespace {

constexpr std::size_t kMaxFileBytes = 64 << 10;

[[noreturn]] void cannot(const std::string& what, const std::string& path, int error) {
  throw FileError("cannot " + what + " scheduler file '" + path + "': " + std::strerror(error));
}

// A file that disappears again unless it is renamed to its final name.
class NewFile {
 public:
  explicit NewFile(const std::string& path)
      : path_(path), name_(path + ".XXXXXX"), file_(::mkostemp(name_.data(), O_CLOEXEC)) {
    if (file_ < 0) cannot("create", path_, errno);  // mkostemp gives mode 0600
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (file_ >= 0) ::close(file_);
    if (!name_.empty()) ::unlink(name_.c_str());
  }

  void write(const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = ::write(file_, text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) cannot("write", path_, errno);
      done += static_cast<std::size_t>(n);
    }
  }
  void publish() {
    if (::fchmod(file_, S_IRUSR | S_IWUSR) != 0 || ::fsync(file_) != 0) cannot("write", path_, errno);
    if (::close(std::exchange(file_, -1)) != 0) cannot("write", path_, errno);
    if (::rename(name_.c_str(), path_.c_str()) != 0) cannot("rename to", path_, errno);
    name_.clear();
  }

 private:
  std::string path_, name_;
  int file_;
};

std::string hex(std::uint64_t value) {
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::uint64_t from_hex(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw ValueError("'" + text + "' is no incarnation (16 hexadecimal digits)");
  }
  return value;
}

}  // namespace

std::string make_cluster_token() {
  std::array<unsigned char, 32> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw Error(ErrorCode::kInternal, "no random numbers from OpenSSL");
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token += kDigits[byte >> 4];
    token += kDigits[byte & 15];
  }
  return token;
}

void write_scheduler_file(const std::string& path, const SchedulerFile& file) {
  // The incarnation as text: JSON readers elsewhere lose 64-bit numbers.
  const nlohmann::ordered_json json = {{"address", file.address},
                                       {"token", file.token},
                                       {"incarnation", hex(static_cast<std::uint64_t>(file.incarnation))},
                                       {"http_address", file.http_address},
                                       {"pid", file.pid}};
  NewFile written(path);
  written.write(json.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
  written.publish();
}

SchedulerFile read_scheduler_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) cannot("read", path, errno);
  std::string text(kMaxFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) cannot("read", path, errno);
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMaxFileBytes) throw ConfigError("'" + path + "' is no scheduler file: it is too large");
  SchedulerFile file;
  try {
    const auto json = nlohmann::json::parse(text);
    file.address = json.at("address").get<std::string>();
    file.token = json.at("token").get<std::string>();
    file.incarnation = static_cast<Incarnation>(from_hex(json.at("incarnation").get<std::string>()));
    file.http_address = json.value("http_address", "");
    file.pid = json.value("pid", std::uint64_t{0});
    (void)parse_address(file.address);
  } catch (const std::exception& error) {
    throw ConfigError("'" + path + "' is no scheduler file: " + error.what());
  }
  return file;
}

}  // namespace tegula
