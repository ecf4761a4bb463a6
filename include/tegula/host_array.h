// An array in this process's memory: what compute() returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "tegula/dtype.h"
#include "tegula/error.h"

namespace tegula {

// A typed, strided view; valid while the HostArray it came from lives.
template <typename T>
  requires Element<std::remove_const_t<T>>
class View {
 public:
  View(T* data, std::vector<std::int64_t> shape, std::vector<std::int64_t> strides)  // strides in elements
      : data_(data), shape_(std::move(shape)), strides_(std::move(strides)) {}
  template <typename... Index>
  T& operator()(Index... index) const {
    const std::int64_t position[] = {static_cast<std::int64_t>(index)..., 0};
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < sizeof...(index); ++i) offset += position[i] * strides_[i];
    return data_[offset];
  }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  const std::vector<std::int64_t>& strides() const { return strides_; }
  T* data() const { return data_; }

 private:
  T* data_;
  std::vector<std::int64_t> shape_, strides_;
};

// C-contiguous values with shape and dtype. Copying shares the memory.
class HostArray {
 public:
  HostArray() : HostArray(DType::kFloat64, {0}) {}
  HostArray(DType dtype, std::vector<std::int64_t> shape);  // zero-filled
  // Bytes owned by `owner`; C-contiguous.
  HostArray(DType dtype, std::vector<std::int64_t> shape, std::shared_ptr<void> owner, void* data);

  DType dtype() const { return dtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  int ndim() const { return static_cast<int>(shape_.size()); }
  std::int64_t size() const;  // elements
  std::size_t nbytes() const;
  const void* data() const { return data_; }
  void* data() { return data_; }

  // Typed access; T must be the dtype's own type: DTypeError "view of float64 as int32".
  template <Element T>
  View<const T> view() const {
    check_type(dtype_of<T>);
    return View<const T>(static_cast<const T*>(data_), shape_, element_strides());
  }
  template <Element T>
  std::span<const T> span() const {
    check_type(dtype_of<T>);
    return {static_cast<const T*>(data_), static_cast<std::size_t>(size())};
  }
  template <Element T>
  std::span<T> span() {
    check_type(dtype_of<T>);
    return {static_cast<T*>(data_), static_cast<std::size_t>(size())};
  }
  // The one element of an array of size 1, converted to T. Throws ValueError naming the shape otherwise.
  template <Element T>
  T item() const;

  static HostArray load_npy(const std::string& path);  // FileError, DTypeError
  void save_npy(const std::string& path) const;        // FileError; written beside and renamed

 private:
  void check_type(DType wanted) const;
  std::vector<std::int64_t> element_strides() const;

  DType dtype_;
  std::vector<std::int64_t> shape_;
  std::shared_ptr<void> owner_;
  void* data_ = nullptr;
};

// As NumPy prints: nested brackets, aligned columns, ellipses above 1000 elements, 8 digits.
std::ostream& operator<<(std::ostream& out, const HostArray& array);
std::string to_string(const HostArray& array);

}  // namespace tegula
