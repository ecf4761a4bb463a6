#include "src/npy_parse.h"

#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "tegula/error.h"

namespace tegula {
namespace {

// As much of Python's literals as NumPy versions have ever written: either quote, any order of keys, blanks anywhere,
// a comma after the last item or not, integers with Python 2's L.
class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  NpyHeader parse() {
    expect('{');
    while (!accept('}')) {
      read_item();
      if (!accept(',') && peek() != '}') fail("a ',' or '}' is missing");
    }
    skip_blanks();
    if (at_ != text_.size()) fail("something follows the dictionary");
    if (!has_descr_ || !has_order_ || !has_shape_) fail("it must have descr, fortran_order and shape");
    return header_;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw FileError(path_ + ": its .npy header cannot be read: " + why);
  }
  [[noreturn]] void refuse(const std::string& what, std::string_view descr) const {
    throw DTypeError(path_ + ": arrays of " + what + " (descr " + std::string(descr) + ") are not supported");
  }

  void skip_blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  char peek() {
    skip_blanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail(std::string("a '") + wanted + "' is missing");
  }

  std::string_view read_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("a quoted string is missing");
    const std::size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\') fail("a string has a backslash");
      ++at_;
    }
    if (at_ == text_.size()) fail("a string does not end");
    return text_.substr(begin, at_++ - begin);
  }

  std::int64_t read_size() {
    skip_blanks();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || value < 0) fail("a size in its shape is no number from 0 to 2^63 - 1");
    at_ = static_cast<std::size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;
    return value;
  }

  bool read_bool() {
    peek();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    fail("fortran_order is neither True nor False");
  }

  void read_shape() {
    expect('(');
    while (!accept(')')) {
      header_.shape.push_back(read_size());
      if (header_.shape.size() > static_cast<std::size_t>(kMaxNdim)) {
        fail("it has more than " + std::to_string(kMaxNdim) + " dimensions");
      }
      if (!accept(',') && peek() != ')') fail("its shape does not end");
    }
  }

  void read_item() {
    const std::string_view key = read_string();
    expect(':');
    bool& seen = key == "descr" ? has_descr_ : key == "fortran_order" ? has_order_ : has_shape_;
    if (key != "descr" && key != "fortran_order" && key != "shape") {
      fail("it has an unknown key '" + std::string(key) + "'");
    }
    if (seen) fail("it has the key '" + std::string(key) + "' twice");
    seen = true;
    if (key == "descr") {
      read_descr();
    } else if (key == "fortran_order") {
      header_.fortran_order = read_bool();
    } else {
      read_shape();
    }
  }

  void read_descr() {
    if (peek() == '[') refuse("a structured dtype", text_.substr(at_, 60));
    if (peek() == '(') refuse("a subarray dtype", text_.substr(at_, 60));
    const std::string_view descr = read_string();
    std::string_view rest = descr;
    const char order = rest.empty() ? '\0' : rest.front();
    if (order == '<' || order == '>' || order == '=' || order == '|') rest.remove_prefix(1);
    const std::string quoted = "'" + std::string(descr) + "'";
    if (const auto name = unsupported(rest)) refuse(*name, quoted);
    try {
      header_.dtype = dtype_from_name(rest);
    } catch (const DTypeError&) {
      refuse("an unknown dtype", quoted);
    }
    if (rest == name_of(header_.dtype)) refuse("an unknown dtype", quoted);  // a name is no typestring
    header_.byte_swapped = order == '>' && item_size(header_.dtype) > 1;
  }

  static std::optional<std::string> unsupported(std::string_view type) {
    if (type.empty()) return std::nullopt;
    switch (type.front()) {
      case 'O':
        return "objects (object dtype)";
      case 'S':
      case 'a':
        return "byte strings (bytes dtype)";
      case 'U':
        return "strings (str dtype)";
      case 'T':
        return "strings (StringDType)";
      case 'M':
        return "dates and times (datetime64 dtype)";
      case 'm':
        return "time differences (timedelta64 dtype)";
      case 'V':
        return "raw bytes (void or structured dtype)";
      default:
        break;
    }
    if (type == "f2") return "float16";
    if (type == "f12" || type == "f16") return "long double";
    if (type == "c24" || type == "c32") return "complex long double";
    return std::nullopt;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
  NpyHeader header_;
  bool has_descr_ = false, has_order_ = false, has_shape_ = false;
};

}  // namespace

NpyHeader parse_npy_header(std::string_view text, const std::string& path) { return Parser(text, path).parse(); }

}  // namespace tegula
