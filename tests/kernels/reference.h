// An independent, element-by-element meaning of programs: what the kernels are compared with. Slow and plain on
// purpose.
#pragma once

#include <array>
#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "src/program.h"
#include "tests/kernels/harness.h"

namespace tegula::test {

// One element of any dtype.
struct Value {
  DType dtype = DType::kFloat64;
  std::array<std::byte, 16> bytes{};

  template <typename T>
  static Value of(T value) {
    Value v;
    v.dtype = dtype_of<T>;
    if constexpr (std::is_same_v<T, bool>) {
      v.bytes[0] = static_cast<std::byte>(value ? 1 : 0);
    } else {
      std::memcpy(v.bytes.data(), &value, sizeof(T));
    }
    return v;
  }
  static Value at(DType dtype, const std::byte* element) {
    Value v;
    v.dtype = dtype;
    std::memcpy(v.bytes.data(), element, item_size(dtype));
    return v;
  }
  template <typename T>
  T as() const {
    if constexpr (std::is_same_v<T, bool>) {
      return bytes[0] != std::byte{0};
    } else {
      T value;
      std::memcpy(&value, bytes.data(), sizeof(T));
      return value;
    }
  }
};

Value reference_apply(const Instruction& instruction, const std::array<Value, 3>& args);
// Units in the last place that the kernels promise for an operation; 0: every bit.
double promised_ulps(Op op, DType type);
// Empty when `got` is as good as `expected` within `ulps`; else what is wrong.
std::string difference(const Value& got, const Value& expected, double ulps);

}  // namespace tegula::test
