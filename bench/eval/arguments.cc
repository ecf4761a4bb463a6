#include "bench/eval/arguments.h"

#include <cmath>
#include <cstdlib>
#include <limits>

namespace tegula::eval {
namespace {

// A double from a number or from a text such as "nan", "-inf", "0x1.8p3".
double parse_double(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0') return number;
  }
  throw ValueError("not a number: " + value.dump());
}

Scalar parse_int(const Json& value) {
  if (value.is_number_unsigned()) return Scalar(value.get<std::uint64_t>());
  if (value.is_number_integer()) return Scalar(value.get<std::int64_t>());
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    errno = 0;
    char* end = nullptr;
    if (text.starts_with('-')) {
      const auto number = std::strtoll(text.c_str(), &end, 10);
      if (errno == 0 && *end == '\0') return Scalar(static_cast<std::int64_t>(number));
    } else if (!text.empty()) {
      const auto number = std::strtoull(text.c_str(), &end, 10);
      if (errno == 0 && *end == '\0') return Scalar(static_cast<std::uint64_t>(number));
    }
  }
  throw ValueError("not a 64-bit integer: " + value.dump());
}

template <typename T>
Scalar strong_as(const Scalar& value) {
  T element;
  value.store(dtype_of<T>, &element);
  return Scalar::strong(element);
}

Scalar strong(const Scalar& value, DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return strong_as<bool>(value);
    case DType::kInt8:
      return strong_as<std::int8_t>(value);
    case DType::kInt16:
      return strong_as<std::int16_t>(value);
    case DType::kInt32:
      return strong_as<std::int32_t>(value);
    case DType::kInt64:
      return strong_as<std::int64_t>(value);
    case DType::kUInt8:
      return strong_as<std::uint8_t>(value);
    case DType::kUInt16:
      return strong_as<std::uint16_t>(value);
    case DType::kUInt32:
      return strong_as<std::uint32_t>(value);
    case DType::kUInt64:
      return strong_as<std::uint64_t>(value);
    case DType::kFloat32:
      return strong_as<float>(value);
    case DType::kFloat64:
      return strong_as<double>(value);
    case DType::kComplex64:
      return strong_as<std::complex<float>>(value);
    case DType::kComplex128:
      return strong_as<std::complex<double>>(value);
  }
  throw DTypeError("unknown dtype");
}

std::optional<std::int64_t> parse_bound(const Json& value) {
  if (value.is_null()) return std::nullopt;
  if (!value.is_number_integer()) throw ValueError("a slice bound is an integer or null, not " + value.dump());
  return value.get<std::int64_t>();
}

IndexItem parse_index(const Json& value) {
  if (value.is_number_integer()) return IndexItem(value.get<std::int64_t>());
  if (value.is_object() && value.contains("slice")) {
    const Json& bounds = value["slice"];
    if (!bounds.is_array() || bounds.size() != 3) throw ValueError("a slice has three parts, not " + bounds.dump());
    return IndexItem(Slice{parse_bound(bounds[0]), parse_bound(bounds[1]), parse_bound(bounds[2])});
  }
  if (value.is_object() && value.contains("newaxis")) return IndexItem(newaxis);
  if (value.is_object() && value.contains("ellipsis")) return IndexItem(ellipsis);
  throw ValueError("not an index: " + value.dump());
}

ChunkDim parse_chunk_dim(const Json& value) {
  if (value.is_number_integer()) return ChunkDim(value.get<std::int64_t>());
  if (value.is_array()) return ChunkDim(value.get<std::vector<std::int64_t>>());
  if (value.is_string() && value == "auto") return ChunkDim("auto");
  throw ValueError("not a chunk size: " + value.dump());
}

}  // namespace

Scalar parse_scalar(const Json& value) {
  if (value.is_boolean()) return Scalar(value.get<bool>());
  if (value.is_number_integer()) return parse_int(value);
  if (value.is_number()) return Scalar(value.get<double>());
  if (value.is_object()) {
    if (value.contains("scalar")) {
      return strong(parse_scalar(value["scalar"]), dtype_from_name(value.value("dtype", std::string("float64"))));
    }
    if (value.contains("float")) return Scalar(parse_double(value["float"]));
    if (value.contains("int")) return parse_int(value["int"]);
    if (value.contains("complex") && value["complex"].is_array() && value["complex"].size() == 2) {
      return Scalar(std::complex<double>(parse_double(value["complex"][0]), parse_double(value["complex"][1])));
    }
  }
  throw ValueError("not a scalar: " + value.dump());
}

Chunks parse_chunks(const Json& value) {
  if (value.is_number_integer()) return Chunks(value.get<int>());
  if (value.is_string()) return value == "auto" ? Chunks("auto") : Chunks::automatic(value.get<std::string>());
  if (!value.is_array()) throw ValueError("not chunks: " + value.dump());
  std::vector<ChunkDim> dims;
  for (const Json& dim : value) dims.push_back(parse_chunk_dim(dim));
  return Chunks(std::move(dims));
}

Arguments::Arguments(std::string op, const Json& args, const Json& kwargs, const Variables& variables)
    : op_(std::move(op)), args_(args), kwargs_(kwargs), variables_(variables) {
  if (!args_.is_array()) throw ValueError(op_ + ": args is a list, not " + args_.dump());
  if (!kwargs_.is_object()) throw ValueError(op_ + ": kwargs is an object, not " + kwargs_.dump());
}

void Arguments::fail(const char* name, const std::string& wanted, const Json& got) const {
  throw ValueError(op_ + ": " + name + " is " + wanted + ", not " + got.dump());
}

const Json* Arguments::find(std::size_t position, const char* name) {
  if (position < args_.size()) {
    used_positions_.insert(position);
    return &args_[position];
  }
  const auto found = kwargs_.find(name);
  if (found == kwargs_.end()) return nullptr;
  used_keywords_.insert(name);
  return found->is_null() ? nullptr : &*found;
}

const Json& Arguments::need(std::size_t position, const char* name) {
  const Json* value = find(position, name);
  if (value == nullptr) throw ValueError(op_ + ": " + name + " is missing");
  return *value;
}

Operand Arguments::operand(std::size_t position, const char* name) {
  const Json& value = need(position, name);
  if (!value.is_string()) return parse_scalar(value);
  const auto found = variables_.find(value.get<std::string>());
  if (found == variables_.end()) throw ValueError(op_ + ": no array is named " + value.dump());
  return found->second;
}

Array Arguments::array(std::size_t position, const char* name) {
  Operand value = operand(position, name);
  if (auto* array = std::get_if<Array>(&value)) return *array;
  fail(name, "the name of an array", need(position, name));
}

Scalar Arguments::scalar(std::size_t position, const char* name) { return parse_scalar(need(position, name)); }

std::int64_t Arguments::integer(std::size_t position, const char* name) {
  const Json& value = need(position, name);
  if (!value.is_number_integer()) fail(name, "an integer", value);
  return value.get<std::int64_t>();
}

std::int64_t Arguments::integer_or(std::size_t position, const char* name, std::int64_t otherwise) {
  return find(position, name) == nullptr ? otherwise : integer(position, name);
}

double Arguments::number(std::size_t position, const char* name) {
  return parse_scalar(need(position, name)).as_double();
}

double Arguments::number_or(std::size_t position, const char* name, double otherwise) {
  return find(position, name) == nullptr ? otherwise : number(position, name);
}

bool Arguments::flag(const char* name, bool otherwise) {
  const Json* value = find(kKeywordOnly, name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail(name, "true or false", *value);
  return value->get<bool>();
}

std::string Arguments::text(std::size_t position, const char* name) {
  const Json& value = need(position, name);
  if (!value.is_string()) fail(name, "a text", value);
  return value.get<std::string>();
}

std::vector<std::int64_t> Arguments::integers(std::size_t position, const char* name) {
  const Json& value = need(position, name);
  if (value.is_number_integer()) return {value.get<std::int64_t>()};
  if (!value.is_array()) fail(name, "a list of integers", value);
  std::vector<std::int64_t> list;
  for (const Json& item : value) {
    if (!item.is_number_integer()) fail(name, "a list of integers", value);
    list.push_back(item.get<std::int64_t>());
  }
  return list;
}

Axes Arguments::axes(std::size_t position, const char* name) {
  const Json* value = find(position, name);
  if (value == nullptr || value->is_null()) return {};
  std::vector<int> list;
  for (const std::int64_t axis : integers(position, name)) list.push_back(static_cast<int>(axis));
  return Axes(std::move(list));
}

std::optional<DType> Arguments::dtype(const char* name) {
  if (find(kKeywordOnly, name) == nullptr) return std::nullopt;
  return dtype_from_name(text(kKeywordOnly, name));
}

Chunks Arguments::chunks(std::size_t position, const char* name) {
  const Json* value = find(position, name);
  return value == nullptr ? Chunks() : parse_chunks(*value);
}

std::vector<IndexItem> Arguments::index(std::size_t first) {
  std::vector<IndexItem> items;
  for (std::size_t i = first; i < args_.size(); ++i) items.push_back(parse_index(*find(i, "index")));
  return items;
}

void Arguments::expect_all_used() const {
  if (used_positions_.size() < args_.size()) {
    throw ValueError(op_ + ": takes " + std::to_string(used_positions_.size()) + " arguments, not " +
                     std::to_string(args_.size()));
  }
  for (const auto& [name, value] : kwargs_.items()) {
    if (!used_keywords_.contains(name)) throw ValueError(op_ + ": unknown keyword " + name);
  }
}

}  // namespace tegula::eval
