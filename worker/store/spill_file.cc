#include "worker/store/spill_file.h"

#include <fcntl.h>
#include <lz4.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "src/shape.h"

namespace tegula::worker {

namespace {

constexpr char kMagic[8] = {'T', 'G', 'S', 'P', 'I', 'L', 'L', '\n'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kSlice = std::size_t{8} << 20;       // of one system call
constexpr std::size_t kRawBlock = std::size_t{256} << 10;  // that is compressed at a time

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint8_t compression, dtype, ndim, unused;
  std::uint64_t number;
  std::uint64_t raw_bytes, stored_bytes;
  std::uint64_t checksum;  // XXH3-64 of the payload
  std::int64_t shape[kMaxNdim];
  std::uint64_t header_checksum;  // XXH3-64 of what is before it
};
static_assert(sizeof(Header) <= kSpillBlock && sizeof(Header) == offsetof(Header, header_checksum) + 8);

std::uint64_t checksum_of(const Header& header) { return XXH3_64bits(&header, offsetof(Header, header_checksum)); }

std::size_t padded(std::size_t size) { return (size + kSpillBlock - 1) / kSpillBlock * kSpillBlock; }
bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % kSpillBlock == 0; }

[[noreturn]] void fail(const std::string& what, const std::string& path, int error) {
  const std::string message = what + " " + path + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) throw NoSpaceError(message);
  throw FileError(message);
}

class Checksum {
 public:
  Checksum() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset(state_);
  }
  ~Checksum() { XXH3_freeState(state_); }
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(const std::byte* data, std::size_t size) { XXH3_64bits_update(state_, data, size); }
  std::uint64_t value() const { return XXH3_64bits_digest(state_); }

 private:
  XXH3_state_t* state_;
};

// An open file. Transfers are whole, and direct where the file system lets them.
class File {
 public:
  File(std::string path, int flags, bool direct) : path_(std::move(path)), direct_(direct) {
    if (direct_) fd_ = open(path_.c_str(), flags | O_DIRECT | O_CLOEXEC, 0600);
    if (!direct_ || (fd_ < 0 && errno == EINVAL)) {
      direct_ = false;
      fd_ = open(path_.c_str(), flags | O_CLOEXEC, 0600);
    }
    if (fd_ < 0) fail("cannot open the spill file", path_, errno);
  }
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const {
    struct stat info {};
    if (fstat(fd_, &info) != 0) fail("cannot look at the spill file", path_, errno);
    return static_cast<std::uint64_t>(info.st_size);
  }
  // Finds out early whether there is room. A file system that cannot say finds out later.
  void allocate(std::uint64_t bytes) const {
    if (fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0 && (errno == ENOSPC || errno == EDQUOT)) {
      fail("cannot write the spill file", path_, errno);
    }
  }
  // Memory, size and offset are multiples of a block.
  void write(const std::byte* data, std::size_t size, std::uint64_t offset) {
    transfer(size, [&](std::size_t done, std::size_t slice) {
      return pwrite(fd_, data + done, slice, static_cast<off_t>(offset + done));
    });
  }
  void read(std::byte* data, std::size_t size, std::uint64_t offset) {
    transfer(size, [&](std::size_t done, std::size_t slice) {
      return pread(fd_, data + done, slice, static_cast<off_t>(offset + done));
    });
  }
  // The page cache is not the store.
  void drop_pages(bool written) const {
    if (direct_) return;
    if (written) {
      sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
    posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED);
  }
  // Some systems say so only here.
  void finish() {
    if (close(std::exchange(fd_, -1)) != 0) fail("cannot write the spill file", path_, errno);
  }

 private:
  template <typename Transfer>
  void transfer(std::size_t size, Transfer one) {
    for (std::size_t done = 0; done < size;) {
      const ssize_t moved = one(done, std::min(kSlice, size - done));
      if (moved > 0) {
        done += static_cast<std::size_t>(moved);
        // A direct transfer goes on only at the beginning of a block.
        if (direct_ && done < size && done % kSpillBlock != 0) leave_direct();
      } else if (moved == 0) {
        throw FileError("the spill file " + path_ + " ends early");
      } else if (errno == EINVAL && direct_) {
        leave_direct();
      } else if (errno != EINTR) {
        fail("cannot transfer the spill file", path_, errno);
      }
    }
  }
  void leave_direct() {
    direct_ = false;
    if (fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) & ~O_DIRECT) != 0) fail("cannot use the spill file", path_, errno);
  }

  std::string path_;
  bool direct_;
  int fd_ = -1;
};

// ---- writing --------------------------------------------------------------------------------------------------------

// The payload in order: summed up, gathered to blocks in the staging where it has to be.
class PayloadWriter {
 public:
  PayloadWriter(File& file, Staging& staging) : file_(file), staging_(staging) {}

  void add(const std::byte* data, std::size_t size) {
    while (size > 0) {
      if (staged_ == 0 && aligned(data) && size >= kSpillBlock) {
        const std::size_t whole = std::min(size / kSpillBlock * kSpillBlock, kSlice);
        checksum_.add(data, whole);
        file_.write(data, whole, offset_);
        offset_ += whole;
        data += whole;
        size -= whole;
        continue;
      }
      const std::size_t part = std::min(size, Staging::kSize - staged_);
      std::memcpy(staging_.data() + staged_, data, part);
      checksum_.add(data, part);
      staged_ += part;
      data += part;
      size -= part;
      if (staged_ == Staging::kSize) flush();
    }
  }
  // Returns the payload's size.
  std::uint64_t finish() {
    const std::uint64_t bytes = offset_ - kSpillBlock + staged_;
    std::memset(staging_.data() + staged_, 0, padded(staged_) - staged_);
    staged_ = padded(staged_);
    flush();
    return bytes;
  }
  std::uint64_t checksum() const { return checksum_.value(); }
  std::uint64_t end() const { return offset_; }

 private:
  void flush() {
    file_.write(staging_.data(), staged_, offset_);
    offset_ += staged_;
    staged_ = 0;
  }

  File& file_;
  Staging& staging_;
  Checksum checksum_;
  std::size_t staged_ = 0;
  std::uint64_t offset_ = kSpillBlock;
};

void compress(const std::byte* data, std::size_t size, PayloadWriter& payload) {
  std::unique_ptr<char[]> compressed(new char[static_cast<std::size_t>(LZ4_compressBound(kRawBlock))]);
  for (std::size_t done = 0; done < size;) {
    const std::size_t raw = std::min(kRawBlock, size - done);
    const int stored = LZ4_compress_default(reinterpret_cast<const char*>(data + done), compressed.get(),
                                            static_cast<int>(raw), LZ4_compressBound(kRawBlock));
    const bool smaller = stored > 0 && static_cast<std::size_t>(stored) < raw;
    const std::uint32_t sizes[2] = {static_cast<std::uint32_t>(raw),
                                    static_cast<std::uint32_t>(smaller ? static_cast<std::size_t>(stored) : raw)};
    payload.add(reinterpret_cast<const std::byte*>(sizes), sizeof sizes);
    payload.add(smaller ? reinterpret_cast<const std::byte*>(compressed.get()) : data + done, sizes[1]);
    done += raw;
  }
}

std::uint64_t write_open_file(File& file, std::uint64_t number, const Chunk& chunk, const SpillFileOptions& options,
                              Staging& staging) {
  const std::size_t bytes = chunk.nbytes();
  PayloadWriter payload(file, staging);
  if (options.compression == SpillCompression::kNone) {
    file.allocate(kSpillBlock + padded(bytes));
    payload.add(chunk.data(), bytes);
  } else {
    compress(chunk.data(), bytes, payload);
  }
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.compression = static_cast<std::uint8_t>(options.compression);
  header.dtype = static_cast<std::uint8_t>(chunk.dtype());
  header.ndim = static_cast<std::uint8_t>(chunk.ndim());
  header.number = number;
  header.raw_bytes = bytes;
  header.stored_bytes = payload.finish();
  header.checksum = payload.checksum();
  std::copy(chunk.shape().begin(), chunk.shape().end(), header.shape);
  header.header_checksum = checksum_of(header);
  std::memset(staging.data(), 0, kSpillBlock);
  std::memcpy(staging.data(), &header, sizeof header);
  file.write(staging.data(), kSpillBlock, 0);
  file.drop_pages(/*written=*/true);
  file.finish();
  return payload.end();
}

// ---- reading --------------------------------------------------------------------------------------------------------

// The payload in order, a staging's fill at a time or straight into its place.
class PayloadReader {
 public:
  PayloadReader(File& file, Staging& staging, std::uint64_t bytes) : file_(file), staging_(staging), left_(bytes) {}

  void take(std::byte* to, std::size_t size) {
    while (size > 0) {
      if (begin_ == end_ && aligned(to) && size >= kSpillBlock) {
        const std::size_t whole = std::min(size / kSpillBlock * kSpillBlock, kSlice);
        if (whole > left_) throw FileError("the payload ends early");
        file_.read(to, whole, offset_);
        checksum_.add(to, whole);
        offset_ += whole;
        left_ -= whole;
        to += whole;
        size -= whole;
        continue;
      }
      if (begin_ == end_) fill();
      const std::size_t part = std::min(size, end_ - begin_);
      std::memcpy(to, staging_.data() + begin_, part);
      begin_ += part;
      to += part;
      size -= part;
    }
  }
  bool at_end() const { return left_ == 0 && begin_ == end_; }
  std::uint64_t checksum() const { return checksum_.value(); }

 private:
  void fill() {
    if (left_ == 0) throw FileError("the payload ends early");
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left_, Staging::kSize));
    file_.read(staging_.data(), padded(part), offset_);
    checksum_.add(staging_.data(), part);
    begin_ = 0;
    end_ = part;
    offset_ += part;
    left_ -= part;
  }

  File& file_;
  Staging& staging_;
  Checksum checksum_;
  std::size_t begin_ = 0, end_ = 0;
  std::uint64_t offset_ = kSpillBlock;
  std::uint64_t left_;
};

void decompress(PayloadReader& payload, std::byte* to, std::size_t size) {
  std::unique_ptr<std::byte[]> stored(new std::byte[kRawBlock]);
  for (std::size_t done = 0; done < size;) {
    std::uint32_t sizes[2];
    payload.take(reinterpret_cast<std::byte*>(sizes), sizeof sizes);
    const std::size_t raw = sizes[0];
    if (raw == 0 || raw > kRawBlock || raw > size - done || sizes[1] > raw) throw FileError("a block is damaged");
    if (sizes[1] == raw) {
      payload.take(to + done, raw);
    } else {
      payload.take(stored.get(), sizes[1]);
      const int got =
          LZ4_decompress_safe(reinterpret_cast<const char*>(stored.get()), reinterpret_cast<char*>(to + done),
                              static_cast<int>(sizes[1]), static_cast<int>(raw));
      if (got != static_cast<int>(raw)) throw FileError("a block is damaged");
    }
    done += raw;
  }
}

Header read_header(File& file, std::uint64_t number, Staging& staging) {
  file.read(staging.data(), kSpillBlock, 0);
  Header header;
  std::memcpy(&header, staging.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) throw FileError("it is no spill file");
  if (header.version != kVersion) throw FileError("its version is " + std::to_string(header.version));
  if (header.header_checksum != checksum_of(header)) throw FileError("its header is damaged");
  if (header.number != number) throw FileError("it is number " + std::to_string(header.number));
  if (header.dtype >= kDTypeCount || header.ndim > kMaxNdim || header.compression > 1 ||
      header.stored_bytes > file.size() - kSpillBlock) {
    throw FileError("its header makes no sense");
  }
  return header;
}

}  // namespace

Staging::Staging() : block_(static_cast<std::byte*>(std::aligned_alloc(kSpillBlock, kSize))) {
  if (block_ == nullptr) throw std::bad_alloc();
}

std::uint64_t write_spill_file(const std::string& path, std::uint64_t number, const Chunk& chunk,
                               const SpillFileOptions& options, Staging& staging) {
  const std::string beside = path + ".new";
  try {
    File file(beside, O_WRONLY | O_CREAT | O_TRUNC, options.direct);
    const std::uint64_t size = write_open_file(file, number, chunk, options, staging);
    if (rename(beside.c_str(), path.c_str()) != 0) fail("cannot rename the spill file", beside, errno);
    return size;
  } catch (...) {
    unlink(beside.c_str());
    throw;
  }
}

Chunk read_spill_file(const std::string& path, std::uint64_t number, const BufferAllocator& allocator,
                      const SpillFileOptions& options, Staging& staging) {
  try {
    File file(path, O_RDONLY, options.direct);
    const Header header = read_header(file, number, staging);
    Shape shape(header.shape, header.shape + header.ndim);
    Chunk chunk = Chunk::allocate(static_cast<DType>(header.dtype), std::move(shape), allocator);
    if (chunk.nbytes() != header.raw_bytes) throw FileError("its sizes do not agree");
    PayloadReader payload(file, staging, header.stored_bytes);
    if (static_cast<SpillCompression>(header.compression) == SpillCompression::kNone) {
      payload.take(chunk.mutable_data(), chunk.nbytes());
    } else {
      decompress(payload, chunk.mutable_data(), chunk.nbytes());
    }
    if (!payload.at_end() || payload.checksum() != header.checksum) throw FileError("its contents are damaged");
    file.drop_pages(/*written=*/false);
    return chunk;
  } catch (const FileError& error) {
    throw FileError("cannot read the spill file " + path + " back: " + error.what());
  }
}

}  // namespace tegula::worker
