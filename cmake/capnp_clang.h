// Included before everything else where Cap'n Proto older than 1.0 meets a clang that has P2468 (16 and later): in C++20
// its blob.h compares a const char* with a kj::StringPtr and relies on the reversed member operator==, which that rule
// no longer considers beside a matching operator!=.
#pragma once

#include <kj/string.h>

namespace kj {

inline bool operator==(const char* a, const StringPtr& b) { return b.operator==(StringPtr(a)); }
inline bool operator!=(const char* a, const StringPtr& b) { return !b.operator==(StringPtr(a)); }

}  // namespace kj
