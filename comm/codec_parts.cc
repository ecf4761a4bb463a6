#include "comm/codec_capnp.h"
#include "src/shape.h"
#include "tegula/dtype.h"

namespace tegula::codec {

std::uint64_t words_of(const std::vector<std::string>& texts) {
  std::uint64_t words = texts.size();
  for (const std::string& text : texts) words += words_of(text);
  return words;
}

void write_texts(capnp::List<capnp::Text>::Builder to, const std::vector<std::string>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) write_text(to.init(i, list_size(from[i].size())), from[i]);
}

std::vector<std::string> read_texts(capnp::List<capnp::Text>::Reader from) {
  std::vector<std::string> texts;
  texts.reserve(from.size());
  for (const capnp::Text::Reader text : from) texts.push_back(read_text(text));
  return texts;
}

std::uint64_t words_of(const std::vector<msg::Resource>& resources) {
  std::uint64_t words = words_of_structs<wire::Resource>(resources.size());
  for (const msg::Resource& resource : resources) words += words_of(resource.name);
  return words;
}

void write_resources(capnp::List<wire::Resource>::Builder to, const std::vector<msg::Resource>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    write_text(to[i].initName(list_size(from[i].name.size())), from[i].name);
    to[i].setAmount(from[i].amount);
  }
}

std::vector<msg::Resource> read_resources(capnp::List<wire::Resource>::Reader from) {
  check_structs<wire::Resource>(from, "resources");
  std::vector<msg::Resource> resources;
  resources.reserve(from.size());
  for (const auto resource : from) resources.push_back({read_text(resource.getName()), resource.getAmount()});
  return resources;
}

void write_results(capnp::List<wire::ResultId>::Builder to, const std::vector<ResultId>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    auto result = to[i];
    result.setTask(static_cast<std::uint64_t>(from[i].task));
    result.setOutput(from[i].output);
  }
}

std::vector<ResultId> read_results(capnp::List<wire::ResultId>::Reader from) {
  check_structs<wire::ResultId>(from, "results");
  std::vector<ResultId> results;
  results.reserve(from.size());
  for (const auto result : from) results.push_back({static_cast<TaskId>(result.getTask()), result.getOutput()});
  return results;
}

std::uint64_t words_of(const ErrorInfo& error) {
  return words_of_struct<wire::ErrorInfo>() + words_of(error.message) + words_of(error.key) + words_of(error.kernel) +
         words_of(error.worker) + words_of(error.chain);
}

void write_error(wire::ErrorInfo::Builder to, const ErrorInfo& from) {
  to.setCode(static_cast<std::uint8_t>(from.code));
  write_text(to.initMessage(list_size(from.message.size())), from.message);
  write_text(to.initKey(list_size(from.key.size())), from.key);
  write_text(to.initKernel(list_size(from.kernel.size())), from.kernel);
  write_text(to.initWorker(list_size(from.worker.size())), from.worker);
  write_texts(to.initChain(list_size(from.chain.size())), from.chain);
}

ErrorInfo read_error(wire::ErrorInfo::Reader from) {
  if (from.getCode() > static_cast<std::uint8_t>(ErrorCode::kDataLost)) {
    invalid("unknown error code " + std::to_string(from.getCode()));
  }
  ErrorInfo error;
  error.code = static_cast<ErrorCode>(from.getCode());
  error.message = read_text(from.getMessage());
  error.key = read_text(from.getKey());
  error.kernel = read_text(from.getKernel());
  error.worker = read_text(from.getWorker());
  error.chain = read_texts(from.getChain());
  return error;
}

void write_boxes(capnp::List<std::int64_t>::Builder to, std::span<const BoxDim> from) {
  capnp::uint position = 0;
  for (const BoxDim& dim : from) {
    to.set(position++, dim.start);
    to.set(position++, dim.count);
    to.set(position++, dim.step);
  }
}

std::vector<BoxDim> read_boxes(capnp::List<std::int64_t>::Reader from) {
  if (from.size() % 3 != 0) invalid("a box of " + std::to_string(from.size()) + " numbers");
  std::vector<BoxDim> boxes(from.size() / 3);
  capnp::uint position = 0;
  for (BoxDim& dim : boxes) {
    dim.start = from[position++];
    dim.count = from[position++];
    dim.step = from[position++];
    std::int64_t last = 0;
    const bool fits = dim.whole() || (dim.start >= 0 && dim.count >= 0 && dim.step != 0 &&
                                      !__builtin_mul_overflow(dim.count > 0 ? dim.count - 1 : 0, dim.step, &last) &&
                                      !__builtin_add_overflow(dim.start, last, &last) && last >= 0);
    if (!fits) {
      invalid("a box with start " + std::to_string(dim.start) + ", count " + std::to_string(dim.count) + ", step " +
              std::to_string(dim.step));
    }
  }
  return boxes;
}

Box read_box(capnp::List<std::int64_t>::Reader from) {
  if (from.size() > 3 * kMaxNdim) invalid("a box of " + std::to_string(from.size() / 3) + " dimensions");
  return read_boxes(from);
}

DType read_dtype(std::uint8_t number) {
  if (number >= kDTypeCount) invalid("unknown dtype " + std::to_string(number));
  return static_cast<DType>(number);
}

std::vector<std::int64_t> read_sizes(capnp::List<std::int64_t>::Reader from, std::size_t max_dims,
                                     std::int64_t max_product, const char* what) {
  if (from.size() > max_dims) invalid(std::string(what) + " of " + std::to_string(from.size()) + " dimensions");
  auto sizes = read_numbers<std::int64_t>(from);
  bool empty = false;
  for (const std::int64_t size : sizes) {
    if (size < 0) invalid(std::string(what) + " " + to_string(sizes));
    empty = empty || size == 0;
  }
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) {
    if (!empty && (__builtin_mul_overflow(product, size, &product) || product > max_product)) {
      invalid(std::string(what) + " " + to_string(sizes) + " is too large");
    }
  }
  return sizes;
}

}  // namespace tegula::codec
