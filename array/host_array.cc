#include "tegula/host_array.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "array/files.h"
#include "src/chunk.h"
#include "src/npy.h"
#include "src/shape.h"

namespace tegula {
namespace {

std::shared_ptr<void> allocate_zeroed(std::size_t bytes) {
  void* memory = std::calloc(std::max<std::size_t>(bytes, 1), 1);
  if (memory == nullptr) throw std::bad_alloc();
  return {memory, &std::free};
}

template <typename From, typename To>
To convert(From value) {
  constexpr bool from_complex = !std::is_arithmetic_v<From>;
  constexpr bool to_complex = !std::is_arithmetic_v<To>;
  if constexpr (from_complex && to_complex) {
    return To(static_cast<typename To::value_type>(value.real()), static_cast<typename To::value_type>(value.imag()));
  } else if constexpr (to_complex) {
    return To(static_cast<typename To::value_type>(value));
  } else if constexpr (from_complex) {
    return static_cast<To>(value.real());
  } else {
    return static_cast<To>(value);
  }
}

void check_shape(const Shape& shape, DType dtype) {
  element_count(shape);                         // throws when a size is negative
  contiguous_strides(shape, item_size(dtype));  // throws when the number of bytes overflows
}

// Calls f with a zero of the element type.
template <typename F>
auto with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool:
      return f(bool{});
    case DType::kInt8:
      return f(std::int8_t{});
    case DType::kInt16:
      return f(std::int16_t{});
    case DType::kInt32:
      return f(std::int32_t{});
    case DType::kInt64:
      return f(std::int64_t{});
    case DType::kUInt8:
      return f(std::uint8_t{});
    case DType::kUInt16:
      return f(std::uint16_t{});
    case DType::kUInt32:
      return f(std::uint32_t{});
    case DType::kUInt64:
      return f(std::uint64_t{});
    case DType::kFloat32:
      return f(float{});
    case DType::kFloat64:
      return f(double{});
    case DType::kComplex64:
      return f(std::complex<float>{});
    case DType::kComplex128:
      return f(std::complex<double>{});
  }
  throw DTypeError("there is no dtype number " + std::to_string(static_cast<int>(dtype)));
}

// Reverses the bytes of every number; a complex element is two of them.
void swap_bytes(std::span<std::byte> bytes, DType dtype) {
  const std::size_t size = item_size(dtype) / (kind_of(dtype) == DTypeKind::kComplex ? 2 : 1);
  for (std::size_t i = 0; i + size <= bytes.size(); i += size) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i), bytes.begin() + static_cast<std::ptrdiff_t>(i + size));
  }
}

}  // namespace

HostArray::HostArray(DType dtype, std::vector<std::int64_t> shape) : dtype_(dtype), shape_(std::move(shape)) {
  check_shape(shape_, dtype_);
  owner_ = allocate_zeroed(nbytes());
  data_ = owner_.get();
}

HostArray::HostArray(DType dtype, std::vector<std::int64_t> shape, std::shared_ptr<void> owner, void* data)
    : dtype_(dtype), shape_(std::move(shape)), owner_(std::move(owner)), data_(data) {
  check_shape(shape_, dtype_);
}

std::int64_t HostArray::size() const { return element_count(shape_); }
std::size_t HostArray::nbytes() const { return static_cast<std::size_t>(size()) * item_size(dtype_); }

template <Element T>
T HostArray::item() const {
  if (size() != 1) throw ValueError("item() of an array of shape " + to_string(shape_) + ", not of one element");
  return with_type(dtype_, [this]<typename From>(From value) {
    std::memcpy(&value, data_, sizeof(From));
    return convert<From, T>(value);
  });
}
#define TEGULA_ITEM(T) template T HostArray::item<T>() const;
TEGULA_ITEM(bool)
TEGULA_ITEM(std::int8_t)
TEGULA_ITEM(std::int16_t)
TEGULA_ITEM(std::int32_t)
TEGULA_ITEM(std::int64_t)
TEGULA_ITEM(std::uint8_t)
TEGULA_ITEM(std::uint16_t)
TEGULA_ITEM(std::uint32_t)
TEGULA_ITEM(std::uint64_t)
TEGULA_ITEM(float)
TEGULA_ITEM(double)
TEGULA_ITEM(std::complex<float>)
TEGULA_ITEM(std::complex<double>)
#undef TEGULA_ITEM

HostArray HostArray::load_npy(const std::string& path) {
  const NpyHeader header = read_npy_header(path);
  HostArray values(header.dtype, header.shape);
  HostArray stored = header.fortran_order ? HostArray(header.dtype, header.shape) : values;
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(header.data_offset));
  file.read(static_cast<char*>(stored.data()), static_cast<std::streamsize>(stored.nbytes()));
  if (!file && stored.nbytes() > 0) {
    throw FileError("cannot read " + std::to_string(stored.nbytes()) + " bytes of values from " + path);
  }
  auto* bytes = static_cast<std::byte*>(stored.data());
  if (header.byte_swapped) swap_bytes({bytes, stored.nbytes()}, header.dtype);
  if (header.fortran_order && values.size() > 0) {
    const std::size_t item = item_size(header.dtype);
    Shape reversed(header.shape.rbegin(), header.shape.rend());
    Strides strides = contiguous_strides(reversed, item);
    std::reverse(strides.begin(), strides.end());
    copy_strided(header.shape, item, bytes, strides, static_cast<std::byte*>(values.data()),
                 contiguous_strides(header.shape, item));
  }
  return values;
}

void HostArray::save_npy(const std::string& path) const {
  const Bytes header = npy_header(dtype_, shape_);
  detail::NewFile file(path, header.size() + nbytes());
  file.write(0, header.data(), header.size());
  file.write(header.size(), data_, nbytes());
  file.commit();
}

void HostArray::check_type(DType wanted) const {
  if (wanted == dtype_) return;
  throw DTypeError("view of " + std::string(name_of(dtype_)) + " as " + std::string(name_of(wanted)));
}

std::vector<std::int64_t> HostArray::element_strides() const { return contiguous_strides(shape_, 1); }

}  // namespace tegula
