// The arguments of one step of a program, read from JSON with errors that say which step and argument is wrong.
// docs/eval.md is the format.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "tegula/tegula.h"

namespace tegula::eval {

using Json = nlohmann::json;
using Operand = std::variant<Array, Scalar>;
using Variables = std::map<std::string, Array, std::less<>>;

// One call: an operation's positional and keyword arguments. Every getter throws ValueError for what is missing or of
// another kind; expect_all_used() throws for arguments that nobody asked for, so that a misspelt keyword is no silent
// default.
class Arguments {
 public:
  Arguments(std::string op, const Json& args, const Json& kwargs, const Variables& variables);

  std::size_t count() const { return args_.size(); }
  // The positional argument at `position`, or else the keyword `name`; null when absent.
  const Json* find(std::size_t position, const char* name);
  const Json& need(std::size_t position, const char* name);

  Array array(std::size_t position, const char* name);
  Operand operand(std::size_t position, const char* name);  // an array's name or a scalar
  Scalar scalar(std::size_t position, const char* name);
  std::int64_t integer(std::size_t position, const char* name);
  std::int64_t integer_or(std::size_t position, const char* name, std::int64_t otherwise);
  double number(std::size_t position, const char* name);
  double number_or(std::size_t position, const char* name, double otherwise);
  bool flag(const char* name, bool otherwise = false);
  std::string text(std::size_t position, const char* name);
  std::vector<std::int64_t> integers(std::size_t position, const char* name);  // a list, or one number
  std::vector<std::int64_t> shape(std::size_t position, const char* name) { return integers(position, name); }
  Axes axes(std::size_t position, const char* name);  // absent or null: all
  std::optional<DType> dtype(const char* name = "dtype");
  Chunks chunks(std::size_t position = kKeywordOnly, const char* name = "chunks");
  std::vector<IndexItem> index(std::size_t first);  // the positional arguments from `first` on

  void expect_all_used() const;
  static constexpr std::size_t kKeywordOnly = static_cast<std::size_t>(-1);

 private:
  [[noreturn]] void fail(const char* name, const std::string& wanted, const Json& got) const;

  std::string op_;
  const Json& args_;
  const Json& kwargs_;
  const Variables& variables_;
  std::set<std::size_t> used_positions_;
  std::set<std::string> used_keywords_;
};

Scalar parse_scalar(const Json& value);  // ValueError
Chunks parse_chunks(const Json& value);  // ValueError

}  // namespace tegula::eval
