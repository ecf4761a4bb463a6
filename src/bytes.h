// Canonical binary encoding: little-endian fixed-width numbers, length-prefixed lists. Used for kernel parameters and
// for hashing (never for control messages, which are Cap'n Proto). One value has one encoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tegula/error.h"

namespace tegula {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Tegula supports little-endian machines only");

using Bytes = std::vector<std::byte>;

class ByteWriter {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(T));
  }
  void put_bytes(std::span<const std::byte> bytes) {  // with its length in front
    put(static_cast<std::uint64_t>(bytes.size()));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void put_string(std::string_view text) { put_bytes(std::as_bytes(std::span(text.data(), text.size()))); }
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put_list(std::span<const T> values) {
    put(static_cast<std::uint64_t>(values.size()));
    for (T value : values) put(value);
  }
  template <typename T>
  void put_list(const std::vector<T>& values) {
    put_list(std::span<const T>(values));
  }
  const Bytes& bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what ByteWriter wrote; never past the end. Throws ValueError("truncated ...") on bytes that are too short.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  T get() {
    need(sizeof(T));
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  std::span<const std::byte> get_bytes() {
    const auto size = get<std::uint64_t>();
    need(size);
    auto bytes = rest_.first(size);
    rest_ = rest_.subspan(size);
    return bytes;
  }
  std::string get_string() {
    auto bytes = get_bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  template <typename T>
  std::vector<T> get_list() {
    const auto count = get<std::uint64_t>();
    if (count > rest_.size() / sizeof(T))
      throw ValueError("truncated parameters: a list says it has " + std::to_string(count) + " items");
    std::vector<T> values(count);
    for (T& value : values) value = get<T>();
    return values;
  }
  bool at_end() const { return rest_.empty(); }
  void expect_end() const {
    if (!rest_.empty()) throw ValueError("parameters have " + std::to_string(rest_.size()) + " bytes too many");
  }

 private:
  void need(std::uint64_t size) const {
    if (size > rest_.size()) {
      throw ValueError("truncated parameters: " + std::to_string(size) + " bytes wanted, " +
                       std::to_string(rest_.size()) + " left");
    }
  }
  std::span<const std::byte> rest_;
};

}  // namespace tegula
