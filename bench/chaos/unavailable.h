// What this machine does not permit, and why: the faults that need it are left out, visibly.
#pragma once

#include <string>

#include "tegula/error.h"

namespace tegula::chaos {

class Unavailable : public Error {
 public:
  explicit Unavailable(const std::string& why) : Error(ErrorCode::kConfig, why) {}
};

}  // namespace tegula::chaos
