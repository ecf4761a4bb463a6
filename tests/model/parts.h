// What the files of the world share, and nobody else.
#pragma once

#include <cstdint>
#include <string>

#include "tests/model/world.h"

namespace tegula::model {

inline constexpr std::uint64_t kItem = 8;                // bytes of a result
inline constexpr std::uint64_t kComputeNs = 10'000'000;  // of every kernel

Chunk result_of(TaskId task);  // its only element says whose it is

// Messages that tell a worker something and ask for nothing. They are as good as read with the next one.
bool passive(const msg::Message& message);

[[noreturn]] void violated(const std::string& what);

std::string text(TaskId task);
std::string text(const msg::Message& message);
std::string text(const Frame& frame);

}  // namespace tegula::model
