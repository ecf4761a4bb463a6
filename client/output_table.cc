#include "client/output_table.h"

#include <utility>

namespace tegula::client {

OutputTable::OutputTable(LayerNumber layer, std::uint16_t output, std::uint32_t size)
    : layer_(layer), output_(output), status_(size, FutureStatus::kPending) {
  count(FutureStatus::kPending) = size;
}

FutureStatus OutputTable::status() const {
  for (const FutureStatus status :
       {FutureStatus::kError, FutureStatus::kCancelled, FutureStatus::kLost, FutureStatus::kPending}) {
    if (count(status) > 0) return status;
  }
  return FutureStatus::kFinished;
}

const ErrorInfo* OutputTable::error(std::uint32_t index) const {
  const auto found = errors_.find(index);
  return found == errors_.end() ? nullptr : &found->second;
}

const ErrorInfo* OutputTable::first_error() const {
  const std::optional<std::uint32_t>& first = first_error_ ? first_error_ : first_cancelled_;
  return first ? error(*first) : nullptr;
}

void OutputTable::move(std::uint32_t index, FutureStatus to) {
  FutureStatus& status = status_[index];
  if (status == FutureStatus::kFinished) {
    nbytes_ -= ready_[index].nbytes;
    ready_[index] = {};
  }
  --count(status);
  ++count(to);
  status = to;
}

bool OutputTable::set_ready(std::uint32_t index, Ready ready) {
  if (index >= size() || status_[index] == FutureStatus::kCancelled) return false;
  if (ready_.empty()) ready_.resize(size());
  move(index, FutureStatus::kFinished);
  nbytes_ += ready.nbytes;
  ready_[index] = std::move(ready);
  return true;
}

bool OutputTable::set_error(std::uint32_t index, ErrorInfo error) {
  if (index >= size() || status_[index] == FutureStatus::kCancelled) return false;
  if (error.code == ErrorCode::kCancelled) {
    move(index, FutureStatus::kCancelled);
    errors_.insert_or_assign(index, std::move(error));  // by whom
    if (!first_cancelled_) first_cancelled_ = index;
    return true;
  }
  move(index, FutureStatus::kError);
  errors_.insert_or_assign(index, std::move(error));
  if (!first_error_) first_error_ = index;
  return true;
}

bool OutputTable::set_lost(std::uint32_t index) {
  if (index >= size() || status_[index] != FutureStatus::kFinished) return false;
  move(index, FutureStatus::kPending);
  return true;
}

bool OutputTable::lose_finished() {
  if (count(FutureStatus::kFinished) == 0) return false;
  for (std::uint32_t index = 0; index < size(); ++index) set_lost(index);
  return true;
}

bool OutputTable::end_pending(FutureStatus how) {
  if (count(FutureStatus::kPending) == 0) return false;
  for (std::uint32_t index = 0; index < size(); ++index) {
    if (status_[index] == FutureStatus::kPending) move(index, how);
  }
  return true;
}

void OutputTable::renew() {
  if (count(FutureStatus::kError) + count(FutureStatus::kCancelled) == 0) return;
  for (std::uint32_t index = 0; index < size(); ++index) {
    if (status_[index] == FutureStatus::kError || status_[index] == FutureStatus::kCancelled) {
      move(index, FutureStatus::kPending);
    }
  }
  errors_.clear();
  first_error_.reset();
  first_cancelled_.reset();
}

}  // namespace tegula::client
