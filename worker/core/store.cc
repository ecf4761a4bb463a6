#include "worker/core/store.h"

#include <utility>

namespace tegula::worker {

const Chunk* Store::find(const ResultId& result) const {
  const auto found = results_.find(result);
  if (found == results_.end() || found->second.place > Place::kWriting) return nullptr;
  return &found->second.chunk;
}

std::optional<Place> Store::place_of(const ResultId& result) const {
  const auto found = results_.find(result);
  if (found == results_.end()) return std::nullopt;
  return found->second.place;
}

FileId Store::file_of(const ResultId& result) const {
  const auto found = results_.find(result);
  return found == results_.end() || found->second.place == Place::kWriting ? 0 : found->second.file;
}

std::uint64_t Store::bytes_of(const ResultId& result) const {
  const auto found = results_.find(result);
  return found == results_.end() ? 0 : found->second.bytes;
}

// ---- what is kept ---------------------------------------------------------------------------------------------------

void Store::keep(const ResultId& id, Chunk chunk, std::vector<Action>& actions) {
  const auto [found, is_new] = results_.try_emplace(id);
  Result& result = found->second;
  if (!is_new) {
    free(id, actions);
    return keep(id, std::move(chunk), actions);
  }
  result.bytes = chunk.buffer().size();
  result.chunk = std::move(chunk);
  if (Ledger::Entry* entry = ledger_.hold(result.chunk.buffer())) {
    ledger_.set_stored(*entry, true);
    entry->result = id;
  }
  if (watching_) list(id, result);
}

void Store::free(const ResultId& id, std::vector<Action>& actions) {
  const auto found = results_.find(id);
  if (found == results_.end()) return;
  Result& result = found->second;
  if (watching_) unlist(id, result);
  let_go(result, actions);
  results_.erase(found);
  if (watching_ && results_.empty()) watching_ = false;
}

// Of its bytes and its file. One that is being read goes when the read ends.
void Store::let_go(const Result& result, std::vector<Action>& actions) {
  if (result.place <= Place::kWriting) release_bytes(result.chunk.buffer());
  if (result.file != 0 && result.place != Place::kReading) forget_file(result, actions);
}

std::vector<ResultId> Store::rename(const std::vector<NewName>& names, std::vector<Action>& actions) {
  std::vector<std::pair<Results::node_type, ResultId>> moving;  // with the former name
  moving.reserve(names.size());
  for (const auto& [from, to] : names) {
    Results::node_type node = results_.extract(from);
    if (node.empty()) continue;
    if (watching_) unlist(from, node.mapped());
    node.key() = to;
    moving.emplace_back(std::move(node), from);
  }
  std::vector<ResultId> given;
  given.reserve(moving.size());
  for (auto& [node, from] : moving) {
    auto placed = results_.insert(std::move(node));
    if (!placed.inserted) {
      let_go(placed.node.mapped(), actions);
      continue;
    }
    const ResultId& id = placed.position->first;
    Result& result = placed.position->second;
    given.push_back(id);
    result.rank = kNotNeeded;
    if (result.place <= Place::kWriting) {
      Ledger::Entry* entry = ledger_.find(result.chunk.buffer());
      if (entry != nullptr && entry->stored && entry->result == from) entry->result = id;
    }
    if (result.place == Place::kWriting) writes_.at(result.file).result = id;
    if (result.place == Place::kReading) reads_.at(result.file).result = id;
    if (watching_) list(id, result);
  }
  if (watching_ && results_.empty()) watching_ = false;
  return given;
}

void Store::forget_users() {
  for (auto& [file, read] : reads_) read.users.clear();
}

std::vector<ResultId> Store::names() const {
  std::vector<ResultId> names;
  names.reserve(results_.size());
  for (const auto& [id, result] : results_) names.push_back(id);
  return names;
}

// A file that is being written is not complete; the shell removes it then.
void Store::forget_file(const Result& result, std::vector<Action>& actions) {
  if (result.place != Place::kWriting) {
    spilled_bytes_ -= result.bytes;
    --files_;
    no_writes_before_ = Time{0};  // there is room again
  }
  actions.emplace_back(DropSpilled{result.file});
}

void Store::release_bytes(const Buffer& buffer) {
  if (Ledger::Entry* entry = ledger_.drop(buffer)) ledger_.set_stored(*entry, false);
}

void Store::hold(const Buffer& buffer) {
  const Ledger::Entry* entry = ledger_.hold(buffer);
  if (!watching_ || entry == nullptr || !entry->stored || entry->holds != 2) return;
  if (const auto found = results_.find(entry->result); found != results_.end()) unlist(found->first, found->second);
}

void Store::drop(const Buffer& buffer) { drop_for_later(buffer, kNotNeeded); }

void Store::drop_for_later(const Buffer& buffer, std::int64_t rank) {
  const Ledger::Entry* entry = ledger_.drop(buffer);
  if (!watching_ || entry == nullptr || !entry->stored || entry->holds != 1) return;
  const auto found = results_.find(entry->result);
  if (found == results_.end()) return;
  unlist(found->first, found->second);
  found->second.rank = rank;
  list(found->first, found->second);
}

// ---- what can leave memory ------------------------------------------------------------------------------------------

bool Store::can_leave(const Result& result) const {
  return result.place == Place::kMemory && result.bytes >= options_.smallest && result.chunk.contiguous() &&
         ledger_.holds(result.chunk.buffer()) == 1;
}

void Store::list(const ResultId& id, const Result& result) {
  if (!can_leave(result)) return;
  const bool is_new = (result.file != 0 ? clean_ : dirty_).emplace(result.rank, id).second;
  if (is_new && result.file != 0) clean_bytes_ += result.bytes;
}

void Store::unlist(const ResultId& id, const Result& result) {
  if (result.place != Place::kMemory) return;
  const bool was_listed = (result.file != 0 ? clean_ : dirty_).erase({result.rank, id}) > 0;
  if (was_listed && result.file != 0) clean_bytes_ -= result.bytes;
}

void Store::watch() {
  if (std::exchange(watching_, true)) return;
  for (auto& [id, result] : results_) {
    result.rank = kNotNeeded;
    list(id, result);
  }
}

bool Store::may_write(Time now) const {
  // While the disk is full one write at a time finds out whether it still is.
  return now >= no_writes_before_ && (!disk_full_ || writes_.empty());
}

void Store::evict_clean(std::uint64_t bytes) {
  for (std::uint64_t freed = 0; freed < bytes && !clean_.empty();) {
    const auto last = std::prev(clean_.end());
    Result& result = results_.at(last->second);
    clean_.erase(last);
    clean_bytes_ -= result.bytes;
    release_bytes(result.chunk.buffer());
    result.chunk = {};
    result.place = Place::kDisk;
    freed += result.bytes;
  }
}

void Store::evict(std::uint64_t shortage, std::uint64_t ahead, Time now, std::vector<Action>& actions) {
  if (!options_.spill) return;
  watch();
  std::uint64_t wanted = shortage + ahead;
  if (clean_bytes_ >= shortage) {
    evict_clean(shortage);
    wanted = ahead;
  }
  while (clean_bytes_ + writing_bytes_ < wanted && !dirty_.empty()) {
    if (!may_write(now)) {
      wants_to_write_ = true;
      break;
    }
    const auto last = std::prev(dirty_.end());
    const ResultId id = last->second;
    Result& result = results_.at(id);
    dirty_.erase(last);
    result.place = Place::kWriting;
    result.file = ++last_file_;
    ledger_.hold(result.chunk.buffer());
    writing_bytes_ += result.bytes;
    writes_.emplace(result.file, Write{id, result.chunk.buffer()});
    actions.emplace_back(Spill{result.file, result.chunk});
  }
}

void Store::written(const SpillDone& event) {
  const auto found = writes_.find(event.file);
  if (found == writes_.end()) return;
  const Write write = std::move(found->second);
  writes_.erase(found);
  writing_bytes_ -= write.buffer.size();
  ledger_.drop(write.buffer);
  if (event.file > last_before_full_) disk_full_ = false;
  const auto kept = results_.find(write.result);
  if (kept == results_.end() || kept->second.file != event.file) return;  // freed meanwhile
  kept->second.place = Place::kMemory;
  spilled_bytes_ += kept->second.bytes;
  ++files_;
  if (watching_) list(kept->first, kept->second);
}

void Store::not_written(const SpillFailed& event, Time now) {
  const auto found = writes_.find(event.file);
  if (found == writes_.end()) return;
  const Write write = std::move(found->second);
  writes_.erase(found);
  writing_bytes_ -= write.buffer.size();
  ledger_.drop(write.buffer);
  if (event.reason != SpillFailure::kDropped) {
    disk_full_ = event.reason == SpillFailure::kNoSpace;
    last_before_full_ = last_file_;
    no_writes_before_ = now + options_.retry;
  }
  const auto kept = results_.find(write.result);
  if (kept == results_.end() || kept->second.file != event.file) return;
  kept->second.place = Place::kMemory;
  kept->second.file = 0;
  if (watching_) list(kept->first, kept->second);
}

std::optional<Time> Store::next_wakeup(Time now) const {
  if (!wants_to_write_ || no_writes_before_ <= now) return std::nullopt;
  return no_writes_before_;
}

std::vector<ResultId> Store::candidates(std::size_t most) const {
  std::vector<ResultId> found;
  for (const Candidates* all : {&dirty_, &clean_}) {
    for (auto next = all->rbegin(); next != all->rend() && found.size() < most; ++next) found.push_back(next->second);
  }
  return found;
}

void Store::set_rank(const ResultId& id, std::int64_t rank) {
  const auto found = results_.find(id);
  if (!watching_ || found == results_.end()) return;
  unlist(id, found->second);
  found->second.rank = rank;
  list(id, found->second);
}

// ---- what comes back ------------------------------------------------------------------------------------------------

std::uint64_t Store::bytes_to_read(const ResultId& result) const {
  const auto found = results_.find(result);
  return found == results_.end() || found->second.place != Place::kDisk ? 0 : found->second.bytes;
}

void Store::read_back(const ResultId& id, User user, std::vector<Action>& actions) {
  Result& result = results_.at(id);
  Read& read = reads_[result.file];
  read.users.push_back(user);
  if (result.place == Place::kReading) return;
  result.place = Place::kReading;
  read.result = id;
  read.bytes = result.bytes;
  reading_bytes_ += read.bytes;
  actions.emplace_back(Unspill{result.file});
}

Store::Result* Store::reading(const Read& read, FileId file) {
  const auto kept = results_.find(read.result);
  return kept == results_.end() || kept->second.file != file ? nullptr : &kept->second;
}

Store::ReadBack Store::read(Unspilled& event, std::vector<Action>& actions) {
  const auto found = reads_.find(event.file);
  if (found == reads_.end()) return {};
  Read read = std::move(found->second);
  reads_.erase(found);
  reading_bytes_ -= read.bytes;
  if (Result* result = reading(read, event.file)) {
    result->place = Place::kMemory;
    result->chunk = event.chunk;
    result->bytes = event.chunk.buffer().size();
    spilled_bytes_ += result->bytes - read.bytes;
    if (Ledger::Entry* entry = ledger_.hold(result->chunk.buffer())) {
      ledger_.set_stored(*entry, true);
      entry->result = read.result;
    }
    if (watching_) list(read.result, *result);
  } else {  // freed meanwhile; who waits for it gets it
    spilled_bytes_ -= read.bytes;
    --files_;
    actions.emplace_back(DropSpilled{event.file});
  }
  return {read.result, std::move(event.chunk), std::move(read.users), false, false};
}

Store::ReadBack Store::not_read(const UnspillFailed& event, std::vector<Action>& actions) {
  const auto found = reads_.find(event.file);
  if (found == reads_.end()) return {};
  Read read = std::move(found->second);
  reads_.erase(found);
  reading_bytes_ -= read.bytes;
  spilled_bytes_ -= read.bytes;
  --files_;
  actions.emplace_back(DropSpilled{event.file});
  const bool kept = reading(read, event.file) != nullptr;
  if (kept) results_.erase(read.result);
  return {read.result, {}, std::move(read.users), true, kept};
}

}  // namespace tegula::worker
