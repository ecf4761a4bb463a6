#include "worker/nanny/vitals.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "tegula/error.h"

namespace tegula::worker {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

std::vector<AttemptId> Vitals::executing() const {
  std::vector<AttemptId> attempts;
  for (const Slot& slot : slots) {
    const std::uint64_t attempt = slot.attempt.load(std::memory_order_relaxed);
    if (attempt != 0) attempts.push_back(static_cast<AttemptId>(attempt));
  }
  return attempts;
}

SharedVitals::SharedVitals() : fd_(memfd_create("tegula-worker-vitals", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (fd_ < 0 || ftruncate(fd_, sizeof(Vitals)) != 0 || fcntl(fd_, F_ADD_SEALS, kSeals) != 0) {
    const int error = errno;
    if (fd_ >= 0) close(fd_);
    throw Error(ErrorCode::kInternal, std::string("no memory to share with a worker process: ") + std::strerror(error));
  }
  map();
  new (vitals_) Vitals;
}

SharedVitals::SharedVitals(int inherited_fd) : fd_(inherited_fd) {
  struct stat info {};
  if (fstat(fd_, &info) != 0 || info.st_size != static_cast<off_t>(sizeof(Vitals)) ||
      fcntl(fd_, F_GET_SEALS) != kSeals) {
    throw ConfigError("descriptor " + std::to_string(inherited_fd) + " was not inherited from a worker's nanny");
  }
  map();
  close(fd_);
  fd_ = -1;
}

SharedVitals::~SharedVitals() {
  munmap(vitals_, sizeof(Vitals));
  if (fd_ >= 0) close(fd_);
}

// Pages that nobody touches cost nothing: of the slots those of the threads there are.
void SharedVitals::map() {
  void* const at = mmap(nullptr, sizeof(Vitals), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) {
    const int error = errno;
    close(fd_);
    throw Error(ErrorCode::kInternal, std::string("cannot map memory shared with a nanny: ") + std::strerror(error));
  }
  vitals_ = static_cast<Vitals*>(at);
}

std::int64_t steady_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace tegula::worker
