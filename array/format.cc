// HostArray as text, as NumPy prints arrays: nested brackets, columns aligned, long axes abbreviated.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <complex>
#include <functional>
#include <ostream>

#include "src/shape.h"
#include "tegula/host_array.h"

namespace tegula {
namespace {

constexpr int kPrecision = 8;
constexpr std::int64_t kThreshold = 1000;  // elements above which long axes are abbreviated
constexpr std::int64_t kEdgeItems = 3;
constexpr std::size_t kLineWidth = 75;

std::string to_text(double value, std::chars_format format) {
  char buffer[400];
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), value, format).ptr};
}
std::string to_text(float value, std::chars_format format) {
  char buffer[100];
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), value, format).ptr};
}
std::string to_text(double value, std::chars_format format, int precision) {
  char buffer[400];
  return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), value, format, precision).ptr};
}

// A number in parts, for aligning at the point.
struct Parts {
  std::string whole;     // "-12", or "nan", "inf"
  std::string fraction;  // digits behind the point; unused for nan and inf
  bool finite = true;
};

std::string special_text(double value) { return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf"; }

Parts split_at_point(const std::string& text) {
  const std::size_t point = text.find('.');
  if (point == std::string::npos) return {text, "", true};
  std::string fraction = text.substr(point + 1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return {text.substr(0, point), fraction, true};
}

// The shortest digits that read back as the value, at most kPrecision of them behind the point.
template <typename T>
Parts fixed_parts(T value) {
  if (!std::isfinite(value)) return {special_text(value), "", false};
  Parts parts = split_at_point(to_text(value, std::chars_format::fixed));
  if (parts.fraction.size() > kPrecision) parts = split_at_point(to_text(value, std::chars_format::fixed, kPrecision));
  return parts;
}

struct ScientificParts {
  Parts mantissa;
  std::string exponent;  // "e+08"
};

template <typename T>
ScientificParts scientific_parts(T value) {
  if (!std::isfinite(value)) return {{special_text(value), "", false}, ""};
  const auto cut = [](const std::string& text) {
    const std::size_t e = text.find('e');
    return ScientificParts{split_at_point(text.substr(0, e)), text.substr(e)};
  };
  ScientificParts parts = cut(to_text(value, std::chars_format::scientific));
  if (parts.mantissa.fraction.size() > kPrecision) {
    parts = cut(to_text(value, std::chars_format::scientific, kPrecision));
  }
  return parts;
}

std::string pad_left(std::string text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}
std::string pad_right(std::string text, std::size_t width, char fill) {
  if (text.size() < width) text.append(width - text.size(), fill);
  return text;
}

// How all the floating-point values of one array are written: fixed or scientific, and how wide.
template <typename T>
class FloatFormat {
 public:
  explicit FloatFormat(const std::vector<T>& values, bool sign_always = false) : sign_always_(sign_always) {
    double largest = 0, smallest = 0;
    for (T value : values) {
      const double magnitude = std::abs(static_cast<double>(value));
      if (!std::isfinite(magnitude) || magnitude == 0) continue;
      largest = std::max(largest, magnitude);
      smallest = smallest == 0 ? magnitude : std::min(smallest, magnitude);
    }
    scientific_ = largest >= 1e8 || (largest > 0 && (smallest < 1e-4 || largest / smallest > 1000));
    for (T value : values) {
      const ScientificParts s = scientific_ ? scientific_parts(value) : ScientificParts{fixed_parts(value), ""};
      fraction_ = std::max(fraction_, s.mantissa.fraction.size());
      if (s.mantissa.finite) whole_ = std::max(whole_, with_sign(s.mantissa.whole).size());
      exponent_ = std::max(exponent_, s.exponent.size());
    }
    for (T value : values) {
      if (!std::isfinite(value)) {
        const std::size_t width = with_sign(special_text(value)).size(), tail = fraction_ + 1 + exponent_;
        if (width > whole_ + tail) whole_ = width - tail;
      }
    }
  }

  std::string operator()(T value) const {
    const std::size_t width = whole_ + 1 + fraction_ + exponent_;
    if (!std::isfinite(value)) return pad_left(with_sign(special_text(value)), width);
    if (!scientific_) {
      const Parts parts = fixed_parts(value);
      return pad_left(with_sign(parts.whole), whole_) + "." + pad_right(parts.fraction, fraction_, ' ');
    }
    const ScientificParts parts = scientific_parts(value);
    return pad_left(with_sign(parts.mantissa.whole), whole_) + "." +
           pad_right(parts.mantissa.fraction, fraction_, '0') + pad_right(parts.exponent, exponent_, ' ');
  }

 private:
  std::string with_sign(const std::string& text) const { return sign_always_ && text[0] != '-' ? "+" + text : text; }

  bool sign_always_, scientific_ = false;
  std::size_t whole_ = 0, fraction_ = 0, exponent_ = 0;
};

using Formatter = std::function<std::string(std::int64_t)>;  // of the element at an offset

// The offsets of the elements that are shown, and whether anything is left out.
bool abbreviated(const HostArray& array) { return array.size() > kThreshold; }

void shown_offsets(const Shape& shape, bool short_form, std::size_t axis, std::int64_t offset,
                   std::vector<std::int64_t>& offsets) {
  if (axis == shape.size()) {
    offsets.push_back(offset);
    return;
  }
  for (std::int64_t i = 0; i < shape[axis]; ++i) {
    if (short_form && shape[axis] > 2 * kEdgeItems && i == kEdgeItems) i = shape[axis] - kEdgeItems;
    shown_offsets(shape, short_form, axis + 1, offset * shape[axis] + i, offsets);
  }
}

template <typename T>
Formatter make_formatter(const HostArray& array, const std::vector<std::int64_t>& offsets) {
  const std::span<const T> data = array.span<T>();
  if constexpr (std::is_floating_point_v<T>) {
    std::vector<T> values;
    for (std::int64_t offset : offsets) values.push_back(data[static_cast<std::size_t>(offset)]);
    return
        [data, format = FloatFormat<T>(values)](std::int64_t i) { return format(data[static_cast<std::size_t>(i)]); };
  } else if constexpr (!std::is_arithmetic_v<T>) {
    std::vector<typename T::value_type> real, imag;
    for (std::int64_t offset : offsets) {
      real.push_back(data[static_cast<std::size_t>(offset)].real());
      imag.push_back(data[static_cast<std::size_t>(offset)].imag());
    }
    using Format = FloatFormat<typename T::value_type>;
    return [data, re = Format(real), im = Format(imag, true)](std::int64_t i) {
      const T value = data[static_cast<std::size_t>(i)];
      std::string imaginary = im(value.imag());
      const std::size_t end = imaginary.find_last_not_of(' ') + 1;  // the j stands right behind the digits
      return re(value.real()) + imaginary.substr(0, end) + "j" + imaginary.substr(end);
    };
  } else {
    const auto text = [data](std::int64_t i) -> std::string {
      const T value = data[static_cast<std::size_t>(i)];
      if constexpr (std::is_same_v<T, bool>) return value ? "True" : "False";
      return std::to_string(value);
    };
    std::size_t width = 0;
    for (std::int64_t offset : offsets) width = std::max(width, text(offset).size());
    return [text, width](std::int64_t i) { return pad_left(text(i), width); };
  }
}

Formatter formatter_of(const HostArray& array, const std::vector<std::int64_t>& offsets) {
  switch (array.dtype()) {
    case DType::kBool:
      return make_formatter<bool>(array, offsets);
    case DType::kInt8:
      return make_formatter<std::int8_t>(array, offsets);
    case DType::kInt16:
      return make_formatter<std::int16_t>(array, offsets);
    case DType::kInt32:
      return make_formatter<std::int32_t>(array, offsets);
    case DType::kInt64:
      return make_formatter<std::int64_t>(array, offsets);
    case DType::kUInt8:
      return make_formatter<std::uint8_t>(array, offsets);
    case DType::kUInt16:
      return make_formatter<std::uint16_t>(array, offsets);
    case DType::kUInt32:
      return make_formatter<std::uint32_t>(array, offsets);
    case DType::kUInt64:
      return make_formatter<std::uint64_t>(array, offsets);
    case DType::kFloat32:
      return make_formatter<float>(array, offsets);
    case DType::kFloat64:
      return make_formatter<double>(array, offsets);
    case DType::kComplex64:
      return make_formatter<std::complex<float>>(array, offsets);
    case DType::kComplex128:
      return make_formatter<std::complex<double>>(array, offsets);
  }
  throw DTypeError("there is no dtype number " + std::to_string(static_cast<int>(array.dtype())));
}

// A single floating-point number with all its digits, as Python writes it.
template <typename T>
std::string full_text(T value) {
  if (!std::isfinite(value)) return special_text(value);
  const double magnitude = std::abs(static_cast<double>(value));
  if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16)) return to_text(value, std::chars_format::scientific);
  const std::string text = to_text(value, std::chars_format::fixed);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

std::string complex_text(std::complex<double> value, bool single) {
  const auto part = [single](double x) {
    std::string text = single ? full_text(static_cast<float>(x)) : full_text(x);
    return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
  };
  const std::string imaginary = part(value.imag());
  const bool only_imaginary = value.real() == 0 && !std::signbit(value.real());
  if (only_imaginary) return imaginary + "j";
  return "(" + part(value.real()) + (imaginary[0] == '-' ? "" : "+") + imaginary + "j)";
}

std::string scalar_text(const HostArray& array) {
  switch (kind_of(array.dtype())) {
    case DTypeKind::kFloat:
      return array.dtype() == DType::kFloat32 ? full_text(array.item<float>()) : full_text(array.item<double>());
    case DTypeKind::kComplex:
      return complex_text(array.item<std::complex<double>>(), array.dtype() == DType::kComplex64);
    default:
      return formatter_of(array, {0})(0);
  }
}

class Printer {
 public:
  Printer(const Shape& shape, bool short_form, Formatter format)
      : shape_(shape), short_form_(short_form), format_(std::move(format)) {}

  std::string print(std::size_t axis, std::int64_t offset) const {
    return axis + 1 == shape_.size() ? row(axis, offset) : rows(axis, offset);
  }

 private:
  // Calls visit(i) for the shown positions and visit(-1) for the ellipsis.
  template <typename F>
  void for_each_shown(std::size_t axis, F visit) const {
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      if (short_form_ && shape_[axis] > 2 * kEdgeItems && i == kEdgeItems) {
        visit(-1);
        i = shape_[axis] - kEdgeItems;
      }
      visit(i);
    }
  }

  std::string row(std::size_t axis, std::int64_t offset) const {
    const std::string indent(axis + 1, ' ');
    std::string text = "[";
    std::size_t used = axis + 1;
    bool first = true;
    const std::size_t width = kLineWidth - shape_.size();  // room for the closing brackets
    for_each_shown(axis, [&](std::int64_t i) {
      const std::string word = i < 0 ? "..." : format_(offset * shape_[axis] + i);
      if (first) {
        text += word;
        used += word.size();
      } else if (used + 1 + word.size() > width) {
        text.erase(text.find_last_not_of(' ') + 1);
        text += "\n" + indent + word;
        used = indent.size() + word.size();
      } else {
        text += " " + word;
        used += 1 + word.size();
      }
      first = false;
    });
    return text + "]";
  }

  std::string rows(std::size_t axis, std::int64_t offset) const {
    const std::string gap(shape_.size() - axis - 1, '\n');
    std::string text = "[";
    bool first = true;
    for_each_shown(axis, [&](std::int64_t i) {
      if (!first) text += gap + std::string(axis + 1, ' ');
      text += i < 0 ? "..." : print(axis + 1, offset * shape_[axis] + i);
      first = false;
    });
    return text + "]";
  }

  const Shape& shape_;
  bool short_form_;
  Formatter format_;
};

}  // namespace

std::string to_string(const HostArray& array) {
  if (array.ndim() == 0) return scalar_text(array);
  if (array.size() == 0) return "[]";
  std::vector<std::int64_t> offsets;
  shown_offsets(array.shape(), abbreviated(array), 0, 0, offsets);
  return Printer(array.shape(), abbreviated(array), formatter_of(array, offsets)).print(0, 0);
}

std::ostream& operator<<(std::ostream& out, const HostArray& array) { return out << to_string(array); }

}  // namespace tegula
