// Identities. Each has a type of its own, so that mixing them up does not compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace tegula {

// A layer inside one life of the scheduler: numbered from 1, never reused.
enum class LayerId : std::uint32_t {};

// A task inside one life of the scheduler: its layer in the high half, its index in the layer in the low half. Workers
// read both halves: an assignment needs no other description of the task than this number.
enum class TaskId : std::uint64_t {};

constexpr TaskId make_task_id(LayerId layer, std::uint32_t index) {
  return static_cast<TaskId>((static_cast<std::uint64_t>(layer) << 32) | index);
}
constexpr LayerId layer_of(TaskId task) { return static_cast<LayerId>(static_cast<std::uint64_t>(task) >> 32); }
constexpr std::uint32_t index_of(TaskId task) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(task)); }

// One output of a task: what is stored, fetched and released.
struct ResultId {
  TaskId task{};
  std::uint16_t output = 0;
  friend auto operator<=>(const ResultId&, const ResultId&) = default;
};

enum class WorkerId : std::uint32_t {};     // numbered from 1 as workers join, never reused
enum class ClientId : std::uint32_t {};     // a client session, numbered from 1, never reused
enum class AttemptId : std::uint64_t {};    // one binding of a task to a worker; one counter for the whole scheduler
enum class Incarnation : std::uint64_t {};  // one life of the scheduler: random, non-zero

// The 128-bit hash of a layer's decoded fields in canonical order; the identity of a layer outside one scheduler's
// life.
struct LayerHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const LayerHash&, const LayerHash&) = default;
};

}  // namespace tegula

template <>
struct std::hash<tegula::ResultId> {
  std::size_t operator()(const tegula::ResultId& id) const noexcept {
    return (static_cast<std::size_t>(id.task) ^ (static_cast<std::size_t>(id.output) << 48)) * 0x9E3779B97F4A7C15ull;
  }
};
template <>
struct std::hash<tegula::LayerHash> {
  std::size_t operator()(const tegula::LayerHash& value) const noexcept { return value.low; }
};
