// 128-bit content hashes (XXH3).
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "src/ids.h"

namespace tegula {

LayerHash hash_bytes(std::span<const std::byte> bytes);
std::string to_hex(const LayerHash& hash);  // 32 digits

}  // namespace tegula
