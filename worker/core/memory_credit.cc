#include "worker/core/memory_credit.h"

#include <algorithm>

#include "comm/messages.h"

namespace tegula::worker {

namespace {
constexpr std::uint64_t kLeastShare = 64;  // of the limit is offered whatever is free
constexpr std::uint64_t kTellShare = 16;   // so much more is told without another reason
}  // namespace

MemoryCredit::MemoryCredit(std::uint64_t limit, std::uint64_t room)
    : limit_(limit >> 10),
      least_(std::max<std::uint64_t>(limit_ / kLeastShare, 1)),
      granted_(limit == 0 ? msg::GrantCredit::kNoLimit : std::max(room >> 10, least_)) {}

bool MemoryCredit::top_up(std::uint64_t room, std::uint64_t claimed) {
  if (granted_ == msg::GrantCredit::kNoLimit) return false;
  const std::uint64_t offered = std::max(room >> 10, least_);
  if (offered <= claimed) return false;
  const std::uint64_t until = received_ + offered - claimed;
  if (until <= granted_) return false;
  const bool closed = granted_ <= received_;
  if (!closed && until - granted_ < limit_ / kTellShare) return false;
  granted_ = until;
  return true;
}

}  // namespace tegula::worker
