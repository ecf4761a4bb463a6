#include "tests/comm/random_messages.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "src/chunk.h"
#include "src/shape.h"
#include "tegula/dtype.h"
#include "tests/comm/message_fields.h"

namespace tegula::test {

namespace {

class Filler {
 public:
  explicit Filler(std::mt19937_64& random) : random_(random) {}

  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  // Small, large and extreme numbers alike.
  std::uint64_t number() {
    switch (below(4)) {
      case 0:
        return below(4);
      case 1:
        return below(100000);
      case 2:
        return std::numeric_limits<std::uint64_t>::max() - below(3);
      default:
        return random_();
    }
  }

  void fill(bool& value) { value = below(2) == 1; }
  template <typename T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void fill(T& value) {
    value = static_cast<T>(number());
  }
  void fill(double& value) { value = static_cast<double>(number()); }
  void fill(std::byte& value) { value = static_cast<std::byte>(random_()); }
  void fill(ErrorCode& value) { value = static_cast<ErrorCode>(below(21)); }
  void fill(msg::QueryKind& value) { value = static_cast<msg::QueryKind>(below(6)); }
  void fill(msg::CommandKind& value) { value = static_cast<msg::CommandKind>(below(5)); }
  void fill(msg::DeathCause& value) { value = static_cast<msg::DeathCause>(below(7)); }
  void fill(DType& value) { value = static_cast<DType>(below(kDTypeCount)); }
  void fill(std::string& value) {
    value.resize(below(3) == 0 ? 0 : below(40));
    for (char& c : value) c = static_cast<char>(random_());
  }
  template <typename T>
  void fill(std::vector<T>& values) {
    values.resize(below(3) == 0 ? 0 : below(6));
    for (T& value : values) fill(value);
  }
  void fill(BoxDim& dim) {
    dim = {static_cast<std::int64_t>(below(1000)), static_cast<std::int64_t>(below(50)),
           1 + static_cast<std::int64_t>(below(7))};
    if (below(2) == 0) {
      dim.start += 50 * dim.step;
      dim.step = -dim.step;
    }
  }
  void fill(msg::WantRange& want) {
    fill_fields(want);
    if (want.begin > want.end) std::swap(want.begin, want.end);
  }
  void fill(DimRule& rule) {
    switch (below(5)) {
      case 0:
        rule = ConstantBlock{static_cast<std::int64_t>(below(1000))};
        break;
      case 1:
        rule = SameBlock{static_cast<int>(below(16))};
        break;
      case 2:
        rule = FanIn{static_cast<int>(below(16)), 1 + static_cast<std::int64_t>(below(100))};
        break;
      case 3:
        rule = AllBlocks{};
        break;
      default: {
        Pieces pieces;
        fill(pieces.begin);
        fill(pieces.block);
        fill(pieces.box);
        pieces.axis = static_cast<int>(below(16));
        rule = pieces;
      }
    }
  }
  void fill(InputRule& rule) {
    fill(rule.layer);
    fill(rule.output);
    fill_grid(rule.grid);
    if (below(2) == 0) {
      SeparableInput separable;
      fill(separable.dims);
      rule.pieces = separable;
    } else {
      ExplicitInput listed;
      fill(listed.begin);
      fill(listed.index);
      rule.pieces = listed;
    }
  }
  void fill(OutputSpec& output) {
    fill(output.dtype);
    std::vector<DimChunks> dims;
    for (std::uint64_t d = below(4); d > 0; --d) {
      if (below(2) == 0) {
        dims.emplace_back(static_cast<std::int64_t>(below(1000)), 1 + static_cast<std::int64_t>(below(100)));
      } else {
        std::vector<std::int64_t> sizes(1 + below(5));
        for (auto& size : sizes) size = below(10) == 0 ? kUnknown : static_cast<std::int64_t>(below(100));
        dims.emplace_back(sizes);
      }
    }
    output.chunks = ChunkGrid(std::move(dims));
  }
  void fill_grid(std::vector<std::int64_t>& grid) {
    grid.resize(below(4));
    for (auto& size : grid) size = static_cast<std::int64_t>(below(50));
  }
  void fill(msg::LayerPtr& pointer) {
    auto layer = std::make_shared<Layer>();
    fill_fields(*layer);
    fill_grid(layer->grid);
    pointer = std::move(layer);
  }
  void fill(Chunk& chunk) { chunk = random_chunk(random_, 1000); }
  void fill(msg::FetchReply::Item& item) {
    item.status = static_cast<msg::FetchStatus>(below(5));
    if (item.status == msg::FetchStatus::kOk) fill(item.chunk);
  }
  template <typename T>
    requires requires(T& value) { fields(value); }
  void fill(T& value) {
    fill_fields(value);
  }

 private:
  template <typename T>
  void fill_fields(T& value) {
    std::apply([&](auto&... field) { (fill(field), ...); }, fields(value));
  }

  std::mt19937_64& random_;
};

template <std::size_t... I>
msg::Message make_message(Filler& filler, std::size_t which, std::index_sequence<I...>) {
  msg::Message message;
  const auto make = [&]<std::size_t K>() {
    if (K != which) return;
    std::variant_alternative_t<K, msg::MessageAlternatives> value;
    filler.fill(value);
    message = std::move(value);
  };
  (make.template operator()<I>(), ...);
  return message;
}

class Writer {
 public:
  template <typename T>
    requires(std::is_integral_v<T>)
  void put(T value) {
    text += std::to_string(value) + " ";
  }
  template <typename T>
    requires(std::is_enum_v<T>)
  void put(T value) {
    put(static_cast<std::underlying_type_t<T>>(value));
  }
  void put(double value) { put(std::to_string(value)); }
  void put(const std::string& value) { text += "'" + value + "' "; }
  template <typename T>
  void put(const std::vector<T>& values) {
    text += "[";
    for (const T& value : values) put(value);
    text += "] ";
  }
  template <typename... T>
  void put(const std::variant<T...>& value) {
    text += "#" + std::to_string(value.index()) + " ";
    std::visit([&](const auto& held) { put(held); }, value);
  }
  void put(const AllBlocks&) {}
  void put(const ChunkGrid& chunks) {
    text += "chunks(";
    for (const DimChunks& dim : chunks.dims()) {
      put(dim.extent());
      put(dim.chunk());
      put(dim.regular());
      if (!dim.regular()) put(*dim.explicit_sizes());
    }
    text += ") ";
  }
  void put(const msg::LayerPtr& layer) { put(*layer); }
  void put(const Chunk& chunk) {
    put(chunk.dtype());
    put(chunk.shape());
    if (chunk.nbytes() == 0) return;
    const Chunk packed = chunk.compact();
    text.append(reinterpret_cast<const char*>(packed.data()), packed.nbytes());
  }
  void put(const msg::FetchReply::Item& item) {
    put(item.status);
    if (item.status == msg::FetchStatus::kOk) put(item.chunk);
  }
  template <typename T>
    requires requires(const T& value) { fields(value); }
  void put(const T& value) {
    text += "{";
    std::apply([&](const auto&... field) { (put(field), ...); }, fields(value));
    text += "} ";
  }

  std::string text;
};

}  // namespace

msg::Message random_message(std::mt19937_64& random, std::size_t which) {
  Filler filler(random);
  return make_message(filler, which, std::make_index_sequence<std::variant_size_v<msg::MessageAlternatives>>());
}

msg::Message random_message(std::mt19937_64& random) {
  return random_message(random, random() % std::variant_size_v<msg::MessageAlternatives>);
}

Chunk random_chunk(std::mt19937_64& random, std::int64_t most_elements) {
  const auto dtype = static_cast<DType>(random() % kDTypeCount);
  Shape shape(random() % 4);
  std::int64_t room = most_elements;
  for (auto& size : shape) {
    size = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(room + 1));
    room = size > 0 ? room / size : room;
  }
  Chunk chunk = Chunk::allocate(dtype, shape);
  std::generate_n(chunk.mutable_data(), chunk.nbytes(), [&] { return static_cast<std::byte>(random()); });
  return chunk;
}

std::string text_of(const msg::Message& message) {
  Writer writer;
  writer.put(message);
  return std::move(writer.text);
}

}  // namespace tegula::test
