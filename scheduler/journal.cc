#include "scheduler/journal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "comm/codec.h"
#include "src/log.h"

namespace tegula::scheduler {

namespace {

static_assert(std::endian::native == std::endian::little, "a journal is written as it lies in memory");

constexpr std::string_view kLog = "scheduler";
constexpr char kMagic[8] = {'T', 'E', 'G', 'U', 'L', 'A', 'J', '1'};
constexpr std::size_t kRefusalsKept = 16;
constexpr std::uint64_t kReserve = 1u << 20;  // set aside beyond what is asked for, so that releases always fit
constexpr auto kRetry = std::chrono::milliseconds(200);

// Before each record.
struct Head {
  std::uint64_t check = 0;   // XXH3 of the payload, seeded with the number
  std::uint64_t number = 0;  // of the record in its segment, from 1
  std::uint64_t size = 0;    // of the payload, a multiple of 8
};
// Before each entry of a payload.
struct EntryHead {
  std::uint64_t session = 0;
  std::uint64_t size = 0;  // of the message, as the codec writes it
};

std::uint64_t check_of(std::span<const std::byte> payload, std::uint64_t number) {
  return XXH3_64bits_withSeed(payload.data(), payload.size(), number);
}

std::string reason_of(int error) { return std::strerror(error); }

[[noreturn]] void cannot(const std::string& what, const std::string& path, int error) {
  throw FileError(fmt::format("journal: cannot {} {}: {}", what, path, reason_of(error)));
}

void append_bytes(std::vector<std::byte>& to, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  to.insert(to.end(), bytes, bytes + size);
}

void encode(const Persist& entry, std::vector<std::byte>& to) {
  const codec::Encoded encoded = codec::encode(std::span(&entry.message, 1));
  const EntryHead head{entry.session, encoded.control_size};
  append_bytes(to, &head, sizeof(head));
  append_bytes(to, encoded.control().data(), encoded.control_size);
}

// Throws ProtocolError.
void decode(std::span<const std::byte> payload, const std::function<void(Persist&&)>& take) {
  for (std::size_t at = 0; at < payload.size();) {
    EntryHead head;
    if (payload.size() - at < sizeof(head)) throw ProtocolError("an entry ends in its head");
    std::memcpy(&head, payload.data() + at, sizeof(head));
    at += sizeof(head);
    if (head.size > payload.size() - at) throw ProtocolError("an entry is longer than its record");
    std::vector<std::uint64_t> aligned((head.size + 7) / 8);
    std::memcpy(aligned.data(), payload.data() + at, head.size);
    at += head.size;
    std::vector<msg::Message> messages;
    codec::decode(std::as_bytes(std::span(aligned)).first(head.size), {}, messages);
    if (messages.size() != 1) throw ProtocolError("an entry without a message");
    take({head.session, std::move(messages.front())});
  }
}

// All or nothing is known to be there afterwards.
bool write_all(int file, const void* data, std::size_t size, std::uint64_t at) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(file, bytes, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) errno = ENOSPC;
      return false;
    }
    bytes += n;
    at += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool no_space(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

// "journal-" and 16 hex digits.
std::optional<std::uint64_t> segment_number(const std::string& name) {
  constexpr std::string_view kPrefix = "journal-";
  std::uint64_t number = 0;
  if (name.size() != kPrefix.size() + 16 || !name.starts_with(kPrefix)) return std::nullopt;
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), number, 16);
  if (error != std::errc() || stop != name.data() + name.size()) return std::nullopt;
  return number;
}

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) cannot("read", path, errno);
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.tellg()));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) cannot("read", path, errno == 0 ? EIO : errno);
  return bytes;
}

// The record that begins at `at`, if one does.
std::optional<Head> record_at(std::span<const std::byte> bytes, std::size_t at) {
  Head head;
  if (bytes.size() - at < sizeof(head)) return std::nullopt;
  std::memcpy(&head, bytes.data() + at, sizeof(head));
  if (head.number == 0 || head.size == 0 || head.size % 8 != 0 || head.size > bytes.size() - at - sizeof(head)) {
    return std::nullopt;
  }
  if (head.check != check_of(bytes.subspan(at + sizeof(head), head.size), head.number)) return std::nullopt;
  return head;
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace

// ---- what entries come to ----

void JournalState::apply(const Persist& entry) {
  if (const auto* about = std::get_if<msg::AttachClient>(&entry.message)) {
    sessions_[entry.session].about = *about;
    return;
  }
  if (std::holds_alternative<msg::CloseClient>(entry.message)) {
    sessions_.erase(entry.session);
    return;
  }
  const auto found = sessions_.find(entry.session);
  if (found == sessions_.end()) return;
  Stored& stored = found->second;
  std::visit(
      [&]<typename M>(const M& m) {
        if constexpr (requires { m.sequence; }) stored.last_sequence = std::max(stored.last_sequence, m.sequence);
        if constexpr (std::is_same_v<M, msg::SubmitRefused>) {
          stored.refusals.push_back(m);
          if (stored.refusals.size() > kRefusalsKept) stored.refusals.pop_front();
        }
      },
      entry.message);
  stored.contents.apply(entry.message);
}

std::vector<SessionRestored> JournalState::sessions() const {
  std::vector<SessionRestored> restored;
  for (const auto& [session, stored] : sessions_) {
    SessionRestored& event = restored.emplace_back();
    event.session = session;
    event.messages.emplace_back(stored.about);
    for (msg::Message& change : stored.contents.changes()) event.messages.push_back(std::move(change));
    for (const msg::SubmitRefused& refusal : stored.refusals) event.messages.emplace_back(refusal);
    event.messages.emplace_back(msg::SubmitAccepted{stored.last_sequence});
  }
  return restored;
}

std::vector<Persist> JournalState::entries() const {
  std::vector<Persist> entries;
  for (SessionRestored& session : sessions()) {
    for (msg::Message& message : session.messages) entries.push_back({session.session, std::move(message)});
  }
  return entries;
}

// ---- the directory ----

Journal::Journal(JournalOptions options, std::function<void(std::function<void()>)> post)
    : options_(std::move(options)), post_(std::move(post)) {
  try {
    lock_directory();
    load();
    if (!begin_segment()) cannot("write to", options_.directory, ENOSPC);
  } catch (...) {
    for (const int file : {file_, directory_, lock_}) {
      if (file >= 0) close(file);
    }
    throw;
  }
  thread_ = std::thread([this] { work(); });
}

Journal::~Journal() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
  if (ftruncate(file_, static_cast<off_t>(written_)) != 0) {
    log::debug(kLog, "journal: the end of {} stays as it is: {}", path_of(segment_), reason_of(errno));
  }
  close(file_);
  close(directory_);
  close(lock_);  // and with it the lock
}

std::string Journal::path_of(std::uint64_t segment) const {
  return fmt::format("{}/journal-{:016x}", options_.directory, segment);
}

// The kernel lets go of the lock when the process dies. Who holds it is written inside for people.
void Journal::lock_directory() {
  std::error_code error;
  if (std::filesystem::create_directories(options_.directory, error)) {
    std::filesystem::permissions(options_.directory, std::filesystem::perms::owner_all, error);
  }
  if (error) throw FileError("journal: cannot make " + options_.directory + ": " + error.message());
  directory_ = open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_ < 0) cannot("open", options_.directory, errno);
  const std::string path = options_.directory + "/lock";
  lock_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) cannot("open", path, errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) cannot("lock", path, errno);
    std::ifstream file(path);
    std::string holder;
    std::getline(file, holder);
    throw FileError(fmt::format("journal: {} belongs to a scheduler that runs ({})", options_.directory, holder));
  }
  const std::string self = fmt::format("process {}, boot {}\n", getpid(), boot_id());
  if (ftruncate(lock_, 0) != 0 || !write_all(lock_, self.data(), self.size(), 0)) cannot("write", path, errno);
}

void Journal::load() {
  std::vector<std::pair<std::uint64_t, std::string>> segments;
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
    const std::string name = entry.path().filename();
    if (const auto number = segment_number(name)) segments.emplace_back(*number, entry.path());
    if (name.ends_with(".new") && segment_number(name.substr(0, name.size() - 4))) {  // not finished
      std::filesystem::remove(entry.path());
    }
  }
  if (segments.empty()) return;
  std::sort(segments.begin(), segments.end());
  segment_ = segments.back().first;
  Segment last = read_segment(segments.back().second);
  state_ = std::move(last.state);
  if (last.torn_at) {
    log::warning(kLog, "journal: {} ends in the midst of a record; it is cut off at byte {}", segments.back().second,
                 *last.torn_at);
  }
  log::info(kLog, "journal: {} sessions from {}", state_.size(), segments.back().second);
}

Segment read_segment(const std::string& path) {
  Segment segment;
  const std::vector<std::byte> bytes = read_file(path);
  if (bytes.size() < sizeof(kMagic) || std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    throw FileError("journal: " + path + " is damaged at byte 0: it is no segment of a journal");
  }
  std::size_t at = sizeof(kMagic);
  std::uint64_t number = 1;
  for (; at < bytes.size(); ++number) {
    const std::optional<Head> head = record_at(bytes, at);
    if (!head || head->number != number) break;
    try {
      decode(std::span(bytes).subspan(at + sizeof(Head), head->size),
             [&](Persist&& entry) { segment.state.apply(entry); });
    } catch (const Error& error) {
      throw FileError(fmt::format("journal: {} is damaged at byte {}: {}", path, at, error.what()));
    }
    at += sizeof(Head) + head->size;
  }
  if (number == 1) throw FileError(fmt::format("journal: {} is damaged at byte {}: its snapshot is broken", path, at));
  // A record is written when the one before it is on the disk: so only the last one can be torn.
  for (std::size_t later = at + 8; later + sizeof(Head) <= bytes.size(); later += 8) {
    const std::optional<Head> head = record_at(bytes, later);
    if (head && head->number > number) {
      throw FileError(fmt::format("journal: {} is damaged at byte {}: record {} is broken, and record {} follows", path,
                                  at, number, head->number));
    }
  }
  const bool torn = std::any_of(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(),
                                [](std::byte byte) { return byte != std::byte{}; });
  if (torn) segment.torn_at = at;
  return segment;
}

// Written beside and renamed: there is always one whole segment.
bool Journal::begin_segment() {
  std::vector<std::byte> payload;
  for (const Persist& entry : state_.entries()) encode(entry, payload);
  if (payload.empty()) encode({0, msg::CloseClient{}}, payload);  // of no session: a record is never empty
  const std::uint64_t size = sizeof(kMagic) + sizeof(Head) + payload.size();
  const std::string path = path_of(segment_ + 1), beside = path + ".new";
  const int file = open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) cannot("create", beside, errno);
  const Head head{check_of(payload, 1), 1, payload.size()};
  const bool room = !reserves_ || fallocate(file, 0, 0, static_cast<off_t>(size + 2 * kReserve)) == 0;
  reserves_ = reserves_ && (room || no_space(errno));
  const bool written = (room || !reserves_) && write_all(file, kMagic, sizeof(kMagic), 0) &&
                       write_all(file, &head, sizeof(head), sizeof(kMagic)) &&
                       write_all(file, payload.data(), payload.size(), sizeof(kMagic) + sizeof(head)) &&
                       fdatasync(file) == 0 && rename(beside.c_str(), path.c_str()) == 0 && fsync(directory_) == 0;
  if (!written) {
    const int error = errno;
    close(file);
    unlink(beside.c_str());
    unlink(path.c_str());  // what follows goes to the old one, so that this must not be found
    if (no_space(error)) return false;
    cannot("write", beside, error);
  }
  if (file_ >= 0) close(file_);
  for (std::uint64_t old = segment_; old > 0 && unlink(path_of(old).c_str()) == 0; --old) {
  }
  file_ = file;
  ++segment_;
  used_ = written_ = first_size_ = size;
  reserved_ = reserves_ ? size + 2 * kReserve : 0;
  number_ = 2;
  return true;
}

// ---- on the loop ----

void Journal::append(const Persist& entry) {
  state_.apply(entry);
  encode(entry, pending_);
}

bool Journal::commit() {
  if (pending_.empty()) return false;
  std::unique_lock lock(mutex_);
  used_ += sizeof(Head) + pending_.size();
  // The snapshot has what is pending, and what is queued: that need not be written any more.
  const std::uint64_t growth = used_ - first_size_;
  const bool grown = growth > std::max(options_.least_growth, 2 * first_size_);
  if (grown) changed_.wait(lock, [this] { return !writing_ || !trouble_.empty(); });  // for one write at most
  if (grown && !writing_ && replace_segment()) {
    queue_.clear();
    queue_.shrink_to_fit();
  } else if (queue_.empty()) {
    queue_.swap(pending_);
  } else {
    queue_.insert(queue_.end(), pending_.begin(), pending_.end());
  }
  pending_.clear();
  queued_commit_ = ++last_commit_;
  changed_.notify_all();
  return true;
}

// The old segment stays as good as it was when this fails; it is tried again when that has grown as much once more.
bool Journal::replace_segment() {
  try {
    if (begin_segment()) return true;
  } catch (const Error& error) {
    log::warning(kLog, "{}", error.what());
  }
  first_size_ = used_;
  return false;
}

std::string Journal::no_room_for(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!trouble_.empty()) return "the scheduler cannot write its journal: " + trouble_;
  if (!reserves_) return "";
  const std::uint64_t wanted = used_ + pending_.size() + bytes + sizeof(EntryHead) + kReserve;
  if (wanted <= reserved_) return "";
  const std::uint64_t more = wanted - reserved_ + kReserve;
  if (fallocate(file_, 0, static_cast<off_t>(reserved_), static_cast<off_t>(more)) == 0) {
    reserved_ += more;
    return "";
  }
  if (no_space(errno)) return "the scheduler has no room for its journal: " + reason_of(errno);
  reserves_ = false;
  return "";
}

// ---- the thread ----

void Journal::work() {
  std::unique_lock lock(mutex_);
  std::uint64_t done = 0;
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || queued_commit_ != done; });
    if (queued_commit_ == done) return;
    const std::vector<std::byte> payload = std::exchange(queue_, {});
    const std::uint64_t commit = queued_commit_;
    writing_ = true;
    lock.unlock();
    const bool written = payload.empty() || write_record(payload);
    lock.lock();
    writing_ = false;
    changed_.notify_all();
    if (!written) return;  // it ends, and could not be written
    done = commit;
    post_([this, commit] {
      if (on_committed) on_committed(commit);
    });
  }
}

// False: the journal ends while there is no room.
bool Journal::write_record(std::span<const std::byte> payload) {
  const Head head{check_of(payload, number_), number_, payload.size()};
  for (;;) {
    if (write_all(file_, &head, sizeof(head), written_) &&
        write_all(file_, payload.data(), payload.size(), written_ + sizeof(head)) && fdatasync(file_) == 0) {
      break;
    }
    const std::string why = reason_of(errno);
    std::unique_lock lock(mutex_);
    if (trouble_.empty()) log::error(kLog, "journal: {}; submissions are refused until it can be written", why);
    trouble_ = why;
    changed_.notify_all();
    if (changed_.wait_for(lock, kRetry, [this] { return ending_; })) return false;
  }
  written_ += sizeof(head) + payload.size();
  ++number_;
  const std::lock_guard lock(mutex_);
  if (!std::exchange(trouble_, {}).empty()) log::info(kLog, "journal: it can be written again");
  return true;
}

}  // namespace tegula::scheduler
