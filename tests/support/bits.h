// "The same bits": a hash of everything that a result is.
#pragma once

#include <cstring>
#include <string>

#include "src/hash.h"
#include "src/shape.h"
#include "tegula/host_array.h"

namespace tegula::test {

inline std::string bits_of(const HostArray& array) {
  const auto* first = static_cast<const std::byte*>(array.data());
  return std::string(name_of(array.dtype())) + to_string(array.shape()) + to_hex(hash_bytes({first, array.nbytes()}));
}

}  // namespace tegula::test
