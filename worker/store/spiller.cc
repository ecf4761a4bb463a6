#include "worker/store/spiller.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <new>
#include <utility>

#include "src/config.h"
#include "src/log.h"

namespace tegula::worker {

namespace {

constexpr std::string_view kLog = "worker";
// One that rather writes, one that rather reads; each does the other's work when it has none.
constexpr unsigned kThreads = 2;

}  // namespace

Spiller::Spiller(SpillerOptions options, std::shared_ptr<BufferPool> pool, std::function<void()> notify)
    : options_(std::move(options)), pool_(std::move(pool)), notify_(std::move(notify)) {
  others_.push_back({Job::Kind::kClean, 0, 0, {}, {}});
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited
  for (unsigned i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this, i] { work(i == 0); });
    pthread_setname_np(threads_.back().native_handle(), ("spill-" + std::to_string(i)).c_str());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Spiller::~Spiller() {
  std::deque<Job> writes, others;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    writes.swap(writes_);
    others.swap(others_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// ---- for how long there was something to do
// --------------------------------------------------------------------------

void Spiller::Pending::add(Clock::time_point now) {
  if (jobs++ == 0) since = now;
}

void Spiller::Pending::remove(Clock::time_point now) {
  if (--jobs == 0) before += now - since;
}

Spiller::Pending* Spiller::pending_of(const Job& job) {
  switch (job.kind) {
    case Job::Kind::kWrite:
      return &pending_writes_;
    case Job::Kind::kRead:
    case Job::Kind::kFetch:
      return &pending_reads_;
    default:
      return nullptr;
  }
}

void Spiller::no_longer_pending(const Job& job) {
  if (Pending* const pending = pending_of(job)) pending->remove(Clock::now());
}

// ---- what is asked for ----------------------------------------------------------------------------------------------

void Spiller::submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    job.life = life_;
    if (Pending* const pending = pending_of(job)) pending->add(Clock::now());
    (job.kind == Job::Kind::kWrite ? writes_ : others_).push_back(std::move(job));
  }
  wake_.notify_one();
}

void Spiller::write(Spill spill) { submit({Job::Kind::kWrite, spill.file, 0, std::move(spill.chunk), {}}); }

void Spiller::read(FileId file) { submit({Job::Kind::kRead, file, 0, {}, {}}); }

void Spiller::fetch(FileId file, std::function<void(std::optional<Chunk>)> done) {
  submit({Job::Kind::kFetch, file, 0, {}, std::move(done)});
}

void Spiller::trim() { submit({Job::Kind::kTrim, 0, 0, {}, {}}); }

void Spiller::drop(FileId file) {
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    const auto queued = std::find_if(writes_.begin(), writes_.end(), [&](const Job& job) { return job.file == file; });
    if (queued != writes_.end()) {
      no_longer_pending(*queued);
      writes_.erase(queued);
      tell = done_.empty();
      done_.emplace_back(SpillFailed{file, SpillFailure::kDropped});
    } else if (running_writes_.contains(file)) {
      dropped_.insert(file);
    } else {
      others_.push_back({Job::Kind::kRemove, file, life_, {}, {}});
      wake_.notify_one();
    }
  }
  if (tell) notify_();
}

void Spiller::collect(std::vector<Event>& events) {
  const std::lock_guard lock(mutex_);
  std::move(done_.begin(), done_.end(), std::back_inserter(events));
  done_.clear();
}

void Spiller::abandon_all() {
  std::deque<Job> writes, others;
  std::vector<Event> ended;
  {
    const std::lock_guard lock(mutex_);
    writes.swap(writes_);
    others.swap(others_);
    ended.swap(done_);
    for (const auto* jobs : {&writes, &others}) {
      for (const Job& job : *jobs) no_longer_pending(job);
    }
    ++life_;
    sizes_.clear();
    running_writes_.clear();
    dropped_.clear();
    counters_.bytes_on_disk = 0;
    promised_ = 0;
    others_.push_back({Job::Kind::kRemoveAll, 0, life_, {}, {}});
    wake_.notify_one();
  }
  for (const Job& job : others) {
    if (job.kind == Job::Kind::kFetch) job.done(std::nullopt);
  }
}

Spiller::Counters Spiller::counters() const {
  const std::lock_guard lock(mutex_);
  Counters counters = counters_;
  const Clock::time_point now = Clock::now();
  counters.write_busy = pending_writes_.busy(now);
  counters.read_busy = pending_reads_.busy(now);
  return counters;
}

// ---- on the threads -------------------------------------------------------------------------------------------------

bool Spiller::take(bool prefers_writes, Job& job) {
  job = {};  // lets go of its value before waiting
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !writes_.empty() || !others_.empty(); });
  if (stopping_) return false;
  std::deque<Job>& queue = writes_.empty() || (!prefers_writes && !others_.empty()) ? others_ : writes_;
  job = std::move(queue.front());
  queue.pop_front();
  if (job.kind == Job::Kind::kWrite) running_writes_.insert(job.file);
  return true;
}

void Spiller::work(bool prefers_writes) {
  Staging staging;
  Job job;
  while (take(prefers_writes, job)) carry_out(job, staging);
}

void Spiller::carry_out(Job& job, Staging& staging) {
  switch (job.kind) {
    case Job::Kind::kWrite:
      return finish(job, write_file(job, staging));
    case Job::Kind::kRead: {
      std::optional<Chunk> chunk = read_file(job, staging);
      if (!chunk) return finish(job, UnspillFailed{job.file});
      return finish(job, Unspilled{job.file, std::move(*chunk)});
    }
    case Job::Kind::kFetch: {
      std::optional<Chunk> chunk = read_file(job, staging);
      {
        const std::lock_guard lock(mutex_);
        no_longer_pending(job);
      }
      return job.done(std::move(chunk));
    }
    case Job::Kind::kRemove:
      return remove_file(job.file, job.life);
    case Job::Kind::kTrim:
      pool_->trim();
      malloc_trim(0);
      return;
    case Job::Kind::kClean:
      if (const unsigned removed = SpillDirectory::remove_stale(options_.base); removed > 0) {
        log::info(kLog, "{}: removed {} folder{} of dead workers from {}", options_.worker, removed,
                  removed == 1 ? "" : "s", options_.base);
      }
      return;
    case Job::Kind::kRemoveAll: {
      const std::lock_guard lock(directory_mutex_);
      directory_.reset();  // the next life makes its own: a late write of this one cannot come among its files
      return;
    }
  }
}

std::string Spiller::path_of(FileId file, std::uint64_t life) {
  const std::lock_guard lock(directory_mutex_);
  if (directory_ == nullptr) {
    directory_ = std::make_unique<SpillDirectory>(options_.base);
    log::info(kLog, "{}: memory is short; values go to {}", options_.worker, directory_->path());
    if (directory_->in_memory()) {
      log::warning(kLog, "{}: {} is a file system in memory (tmpfs); worker.spill-directory should name one on a disk",
                   options_.worker, options_.base);
    }
  }
  return directory_->file(life, file);
}

bool Spiller::is_current(const Job& job) const {
  const std::lock_guard lock(mutex_);
  return job.life == life_;
}

Event Spiller::write_file(const Job& job, Staging& staging) {
  const Clock::time_point begin = Clock::now();
  // What it takes at most: compression does not grow a value by more than its blocks' sizes.
  const std::uint64_t most = job.chunk.nbytes() + job.chunk.nbytes() / 1024 + 3 * kSpillBlock;
  if (!take_room(most)) return SpillFailed{job.file, SpillFailure::kNoSpace};
  const bool was_full = disk_is_told_full();
  std::uint64_t size = 0;
  Event outcome = SpillDone{job.file};
  try {
    size = write_spill_file(path_of(job.file, job.life), job.file, job.chunk, options_.file, staging);
    if (was_full) disk_has_room();  // one that was begun before says nothing
  } catch (const NoSpaceError& error) {
    disk_is_full(error.what());
    outcome = SpillFailed{job.file, SpillFailure::kNoSpace};
  } catch (const std::exception& error) {
    if (is_current(job)) log::warning(kLog, "{}: {}", options_.worker, error.what());
    outcome = SpillFailed{job.file, SpillFailure::kError};
  }
  const std::lock_guard lock(mutex_);
  counters_.busy_ns += static_cast<std::uint64_t>((Clock::now() - begin).count());
  if (job.life != life_) return outcome;
  promised_ -= most;
  if (size > 0) {
    counters_.bytes_written += size;
    counters_.bytes_on_disk += size;
    sizes_.emplace(job.file, size);
  } else if (std::get<SpillFailed>(outcome).reason == SpillFailure::kError) {
    ++counters_.failures;
  }
  return outcome;
}

std::optional<Chunk> Spiller::read_file(const Job& job, Staging& staging) {
  const Clock::time_point begin = Clock::now();
  std::optional<Chunk> chunk;
  for (int tries = 0; !chunk && tries < 2; ++tries) {
    try {
      chunk = read_spill_file(path_of(job.file, job.life), job.file, pool_->allocator(), options_.file, staging);
    } catch (const std::bad_alloc&) {
      pool_->trim();
    } catch (const std::exception& error) {
      if (!is_current(job)) return std::nullopt;
      log::warning(kLog, "{}: {}", options_.worker, error.what());
      break;
    }
  }
  const std::lock_guard lock(mutex_);
  counters_.busy_ns += static_cast<std::uint64_t>((Clock::now() - begin).count());
  if (chunk) {
    const auto size = sizes_.find(job.file);
    counters_.bytes_read += size != sizes_.end() ? size->second : 0;
  } else {
    ++counters_.failures;
  }
  return chunk;
}

void Spiller::remove_file(FileId file, std::uint64_t life) {
  unlink(path_of(file, life).c_str());
  const std::lock_guard lock(mutex_);
  if (life != life_) return;
  const auto size = sizes_.find(file);
  if (size == sizes_.end()) return;
  counters_.bytes_on_disk -= size->second;
  sizes_.erase(size);
}

void Spiller::finish(const Job& job, Event event) {
  bool tell = false, remove = false;
  {
    const std::lock_guard lock(mutex_);
    no_longer_pending(job);
    if (job.life != life_) return;
    if (job.kind == Job::Kind::kWrite) running_writes_.erase(job.file);
    remove = dropped_.erase(job.file) > 0;
    tell = done_.empty();
    done_.push_back(std::move(event));
  }
  if (remove) remove_file(job.file, job.life);
  if (tell) notify_();
}

// ---- room -----------------------------------------------------------------------------------------------------------

bool Spiller::take_room(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (options_.limit == 0 || counters_.bytes_on_disk + promised_ + bytes <= options_.limit) {
      promised_ += bytes;
      return true;
    }
  }
  disk_is_full("worker.spill-limit is " + format_bytes(options_.limit));
  return false;
}

void Spiller::disk_is_full(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(told_full_, true)) return;
  }
  log::warning(kLog,
               "{}: no room to spill values to ({}). Nothing is lost; what does not fit into memory waits until there "
               "is room again",
               options_.worker, why);
}

bool Spiller::disk_is_told_full() const {
  const std::lock_guard lock(mutex_);
  return told_full_;
}

void Spiller::disk_has_room() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(told_full_, false)) return;
  }
  log::info(kLog, "{}: there is room to spill values again", options_.worker);
}

}  // namespace tegula::worker
