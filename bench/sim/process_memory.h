// What this process takes, as the kernel counts it.
#pragma once

#include <cstdint>

namespace tegula::sim {

std::uint64_t resident_bytes();  // now
void return_free_memory();       // what malloc keeps goes back, so that growth from here on is seen

}  // namespace tegula::sim
