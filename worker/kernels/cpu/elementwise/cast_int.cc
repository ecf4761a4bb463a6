#include "worker/kernels/cpu/elementwise/cast_functions.h"

namespace tegula::cpu {
namespace {

// A bool as it is read: any byte but 0 is 1.
struct StoredBool {
  BoolByte byte;
};

template <typename To>
void cast_bool_loop(void* out, const void* a, const void*, const void*, std::int64_t n) {
  auto* __restrict to = static_cast<To*>(out);
  const auto* __restrict x = static_cast<const StoredBool*>(a);
  for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<To>(static_cast<BoolByte>(x[i].byte != 0));
}

Loop find_cast_from_bool(DType to) {
  switch (to) {
    case DType::kBool:
    case DType::kInt8:
    case DType::kUInt8:
      return &cast_bool_loop<std::uint8_t>;
    case DType::kInt16:
    case DType::kUInt16:
      return &cast_bool_loop<std::uint16_t>;
    case DType::kInt32:
    case DType::kUInt32:
      return &cast_bool_loop<std::uint32_t>;
    case DType::kInt64:
    case DType::kUInt64:
      return &cast_bool_loop<std::uint64_t>;
    case DType::kFloat32:
      return &cast_bool_loop<float>;
    case DType::kFloat64:
      return &cast_bool_loop<double>;
    case DType::kComplex64:
      return &cast_bool_loop<std::complex<float>>;
    case DType::kComplex128:
      return &cast_bool_loop<std::complex<double>>;
  }
  return nullptr;
}

}  // namespace

Loop find_cast_from_int(DType from, DType to) {
  switch (from) {
    case DType::kBool:
      return find_cast_from_bool(to);
    case DType::kInt8:
      return find_cast_to<std::int8_t>(to);
    case DType::kInt16:
      return find_cast_to<std::int16_t>(to);
    case DType::kInt32:
      return find_cast_to<std::int32_t>(to);
    case DType::kInt64:
      return find_cast_to<std::int64_t>(to);
    case DType::kUInt8:
      return find_cast_to<std::uint8_t>(to);
    case DType::kUInt16:
      return find_cast_to<std::uint16_t>(to);
    case DType::kUInt32:
      return find_cast_to<std::uint32_t>(to);
    case DType::kUInt64:
      return find_cast_to<std::uint64_t>(to);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
