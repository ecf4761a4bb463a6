#include "client/fetch_job.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "src/log.h"

namespace tegula::client {

namespace {

// Of one Fetch: enough to make small results cheap, few enough that large ones stream.
constexpr std::size_t kItemsPerFetch = 512;
constexpr std::uint64_t kBytesPerFetch = 8u << 20;
// Tries for one result while the scheduler says that it is there. With the delays between them some 30 s.
constexpr std::uint32_t kMostFailures = 80;

std::chrono::milliseconds retry_delay(std::uint32_t failures) {
  return std::chrono::milliseconds(std::min(10u << std::min(failures / 2, 6u), 500u));
}

}  // namespace

FetchJob::FetchJob(std::shared_ptr<SessionCore> core, std::shared_ptr<OutputTable> table,
                   const std::vector<std::uint32_t>& indices)
    : core_(std::move(core)), table_(std::move(table)), states_(table_->size(), State::kUnwanted) {
  for (const std::uint32_t index : indices) {
    if (index >= states_.size()) {
      throw IndexError(fmt::format("output {} of a layer of {} tasks", index, states_.size()));
    }
    if (states_[index] == State::kUnwanted) ++undelivered_;
    states_[index] = State::kWaiting;
  }
}

void FetchJob::run(const std::function<void(std::uint32_t, const Chunk&)>& deliver) {
  core_->require_open();
  core_->loop().post([self = shared_from_this()] { self->start(); });
  struct AtEnd {
    FetchJob& job;
    ~AtEnd() {
      job.core_->loop().post([self = job.shared_from_this()] { self->end(); });
    }
  } at_end{*this};

  std::uint64_t consumed = 0;
  std::unique_lock lock(mutex_);
  while (undelivered_ > 0) {
    if (chunks_.empty() && consumed > 0) {
      core_->loop().post([self = shared_from_this(), bytes = std::exchange(consumed, 0)] {
        self->bytes_out_ -= bytes;
        self->pump();
      });
    }
    arrived_.wait(lock, [this] { return !chunks_.empty() || error_; });
    if (error_) std::rethrow_exception(error_);
    {
      const Arrived arrived = std::move(chunks_.front());
      chunks_.pop_front();
      --undelivered_;
      lock.unlock();
      deliver(arrived.asked.index, arrived.chunk);
      consumed += arrived.asked.bytes;
    }
    lock.lock();
  }
}

// ---- on the loop ----

void FetchJob::start() {
  if (ended_) return;
  try {
    core_->require_open();  // it may have ended since run() asked; later its end is heard of
  } catch (...) {
    return fail(std::current_exception());
  }
  listener_ = core_->next_listener++;
  // The session ends them all before it goes, so `this` may be named: end() takes them out again.
  core_->end_listeners.emplace(listener_, [this] {
    try {
      core_->require_open();
    } catch (...) {
      fail(std::current_exception());
    }
  });
  {
    std::lock_guard lock(core_->mutex());
    table_->listeners.emplace(listener_, [this](std::uint32_t index) {
      if (index == OutputTable::kEveryIndex) {
        changed_.clear();
        for (std::uint32_t each = 0; each < states_.size(); ++each) changed_.push_back(each);
      } else if (states_[index] != State::kUnwanted) {
        changed_.push_back(index);
      }
      look_later();
    });
    for (std::uint32_t index = 0; index < states_.size(); ++index) {
      if (states_[index] != State::kUnwanted) look(index);
    }
  }
  pump();
}

void FetchJob::end() {
  if (ended_) return;
  ended_ = true;
  rest_timer_.reset();
  ready_.clear();
  core_->end_listeners.erase(listener_);
  std::lock_guard lock(core_->mutex());
  table_->listeners.erase(listener_);
}

void FetchJob::look_later() {
  if (look_scheduled_) return;
  look_scheduled_ = true;
  core_->loop().at_end_of_turn([self = shared_from_this()] {
    self->look_scheduled_ = false;
    if (self->ended_) return;
    {
      std::lock_guard lock(self->core_->mutex());
      for (const std::uint32_t index : std::exchange(self->changed_, {})) {
        if (self->states_[index] != State::kUnwanted) self->look(index);
      }
    }
    self->pump();
  });
}

// The session's mutex is held.
void FetchJob::look(std::uint32_t index) {
  State& state = states_[index];
  if (state == State::kArrived) return;
  switch (const FutureStatus status = table_->status(index)) {
    case FutureStatus::kFinished:
      if (state == State::kWaiting) {
        state = State::kReady;
        ready_.push_back(index);
      }
      return;
    case FutureStatus::kPending:
      // One that was asked for may still come.
      if (state == State::kReady) state = State::kWaiting;
      failures_.erase(index);
      return;
    default:
      try {
        core_->throw_failure(status, table_->error(index));
      } catch (...) {
        fail(std::current_exception());
      }
  }
}

void FetchJob::pump() {
  if (ended_) return;
  struct Batch {
    std::vector<Asked> items;
    std::uint64_t bytes = 0;
  };
  std::map<WorkerId, Batch> batches;
  std::vector<std::pair<WorkerId, std::vector<Asked>>> full;
  {
    std::lock_guard lock(core_->mutex());
    while (!ready_.empty()) {
      const std::uint32_t index = ready_.front();
      if (states_[index] != State::kReady) {  // lost since, and perhaps in the queue a second time
        ready_.pop_front();
        continue;
      }
      const OutputTable::Ready& ready = table_->ready(index);
      if (bytes_out_ > 0 && bytes_out_ + ready.nbytes > core_->options().fetch_bytes) break;
      ready_.pop_front();
      states_[index] = State::kAsked;
      bytes_out_ += ready.nbytes;
      // Spread over the holders; after a failure the next one.
      const auto failed = failures_.find(index);
      const std::size_t turn = index + (failed == failures_.end() ? 0 : failed->second);
      const WorkerId worker = ready.holders.empty() ? WorkerId{} : ready.holders[turn % ready.holders.size()];
      Batch& batch = batches[worker];
      batch.items.push_back({index, ready.nbytes, ready.result});
      batch.bytes += ready.nbytes;
      if (batch.items.size() == kItemsPerFetch || batch.bytes >= kBytesPerFetch) {
        full.emplace_back(worker, std::move(batch.items));
        batches.erase(worker);
      }
    }
  }
  for (auto& [worker, batch] : batches) full.emplace_back(worker, std::move(batch.items));
  for (auto& [worker, batch] : full) ask(worker, std::move(batch));
}

void FetchJob::ask(WorkerId worker, std::vector<Asked> batch) {
  std::vector<msg::Fetch::Item> items;
  items.reserve(batch.size());
  for (const Asked& asked : batch) items.push_back({asked.result, {}});
  core_->workers().fetch(
      worker, std::move(items),
      [self = shared_from_this(), worker, batch = std::move(batch)](msg::FetchReply* reply, const std::string& reason) {
        self->take(worker, batch, reply, reason);
      });
}

void FetchJob::take(WorkerId worker, const std::vector<Asked>& batch, msg::FetchReply* reply,
                    const std::string& reason) {
  if (ended_) return;
  std::string why = reason;
  std::vector<Asked> failed;
  if (reply == nullptr || reply->items.size() != batch.size()) {
    if (reply != nullptr) why = "the worker answered something else than it was asked";
    failed = batch;
  } else {
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      msg::FetchReply::Item& item = reply->items[i];
      if (item.status == msg::FetchStatus::kOk) {
        states_[batch[i].index] = State::kArrived;
        failures_.erase(batch[i].index);
        chunks_.push_back({batch[i], std::move(item.chunk)});
      } else {
        failed.push_back(batch[i]);
        why = item.status == msg::FetchStatus::kBusy ? "the worker is busy" : "the worker does not have it";
      }
    }
    if (failed.size() < batch.size()) arrived_.notify_one();
  }
  if (!failed.empty()) retry(failed, worker, why);
}

// What no holder gave is asked for again after a while, unless the scheduler says meanwhile that it is lost.
void FetchJob::retry(const std::vector<Asked>& failed, WorkerId worker, const std::string& reason) {
  std::uint32_t most = 0;
  {
    std::lock_guard lock(core_->mutex());
    for (const Asked& asked : failed) {
      bytes_out_ -= asked.bytes;
      const std::uint32_t failures = ++failures_[asked.index];
      states_[asked.index] = State::kWaiting;
      if (table_->status(asked.index) != FutureStatus::kFinished) {
        look(asked.index);
      } else if (failures < table_->ready(asked.index).holders.size()) {
        look(asked.index);
      } else {
        most = std::max(most, failures);
        states_[asked.index] = State::kResting;
        resting_.push_back(asked.index);
      }
    }
  }
  log::debug("client", "fetch of {} results from worker {} failed: {}", failed.size(),
             static_cast<std::uint32_t>(worker), reason);
  if (most > kMostFailures) {
    return fail(std::make_exception_ptr(
        ConnectionError(fmt::format("cannot fetch a result that the scheduler says is there: {}", reason))));
  }
  if (!resting_.empty() && !rest_timer_) {
    rest_timer_ = core_->loop().after(retry_delay(most), [this] {
      rest_timer_.reset();
      {
        std::lock_guard lock(core_->mutex());
        for (const std::uint32_t index : std::exchange(resting_, {})) {
          if (states_[index] == State::kResting) states_[index] = State::kWaiting;
          look(index);
        }
      }
      pump();
    });
  }
  pump();
}

void FetchJob::fail(std::exception_ptr error) {
  std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
  arrived_.notify_one();
}

}  // namespace tegula::client
