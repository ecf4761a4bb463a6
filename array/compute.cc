#include "array/compute.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <numeric>

#include "array/lower.h"
#include "array/views.h"
#include "src/config.h"

namespace tegula {
namespace detail {
namespace {

const Stored* stored_of(const ExpressionPtr& expression) { return without_relabels(expression)->as<Stored>(); }

// /proc/meminfo's MemAvailable; nothing is known where there is no such file.
std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  std::uint64_t kibibytes = 0;
  while (file >> name >> kibibytes) {
    std::getline(file, unit);
    if (name == "MemAvailable:") return kibibytes * 1024;
  }
  return UINT64_MAX;
}

// The views between `array` and what it relabels, put on top of `base` instead.
ExpressionPtr relabel_as(const ExpressionPtr& array, ExpressionPtr base) {
  std::vector<const Expression*> views;
  for (const Expression* view = array.get(); is_relabel(*view); view = view->inputs[0].get()) views.push_back(view);
  for (; !views.empty(); views.pop_back()) {
    base = make_view(std::move(base), views.back()->as<View>()->map, views.back()->chunks, /*implicit=*/true);
  }
  return base;
}

}  // namespace

void check_memory(std::uint64_t bytes) {
  const std::uint64_t available = available_memory();
  if (bytes <= available) return;
  throw ValueError(
      fmt::format("the result has {}, but this machine has {} of free memory; reduce it, persist() it or "
                  "write it with to_npy()",
                  format_bytes(bytes), format_bytes(available)));
}

void check_clients(const std::vector<ExpressionPtr>& roots, const Client& client) {
  for (const Expression* expression : topological_order(roots)) {
    const auto* stored = expression->as<Stored>();
    if (stored == nullptr || stored->results->layer()->client() == client.impl()) continue;
    throw ValueError(fmt::format("an array persisted by the client of {} can't be computed by another client, of {}",
                                 stored->results->layer()->client()->scheduler_address(), client.scheduler_address()));
  }
}

namespace {

msg::SubmitOptions submit_options(const ComputeOptions& options) {
  constexpr unsigned kMostRetries = std::numeric_limits<std::uint16_t>::max();
  if (options.retries > kMostRetries) {
    throw ValueError(fmt::format("{} retries; at most {} are possible", options.retries, kMostRetries));
  }
  if (options.retry_delay < std::chrono::milliseconds(0) || options.retry_delay > std::chrono::hours(1)) {
    throw ValueError(fmt::format("a retry delay of {} ms; it must be from 0 to an hour", options.retry_delay.count()));
  }
  if (options.time_limit < std::chrono::milliseconds(0)) {
    throw ValueError(fmt::format("a time limit of {} ms", options.time_limit.count()));
  }
  msg::SubmitOptions submit;
  submit.priority = options.priority;
  submit.retries = static_cast<std::uint16_t>(options.retries);
  submit.retry_delay_ms = static_cast<std::uint32_t>(options.retry_delay.count());
  submit.workers = options.workers;
  submit.time_limit_ms = static_cast<std::uint64_t>(options.time_limit.count());
  submit.allow_other_workers = options.allow_other_workers;
  for (const auto& [name, amount] : options.resources) submit.resources.push_back({name, amount});
  return submit;
}

}  // namespace

std::vector<Computed> start(const std::vector<ExpressionPtr>& arrays, const Client& client,
                            const ComputeOptions& options) {
  std::vector<ExpressionPtr> bases, roots;  // roots: those that aren't there already
  for (const ExpressionPtr& array : arrays) {
    bases.push_back(without_relabels(array));
    if (!bases.back()->as<Stored>()) roots.push_back(bases.back());
  }
  check_clients(bases, client);
  std::vector<std::shared_ptr<ResultSet>> results;
  if (!roots.empty()) {
    const Lowered lowered = lower(Plan(roots, options.optimize));
    std::vector<ClientImpl::Want> wants;
    for (const Emitted& root : lowered.roots) wants.push_back({root.layer, root.output});
    results = client.impl()->submit(lowered.graph, wants, submit_options(options));
  }
  std::vector<Computed> computed;
  std::size_t next = 0;
  for (const ExpressionPtr& base : bases) {
    const auto* stored = base->as<Stored>();
    computed.push_back({stored ? stored->results : results[next++], base->chunks});
  }
  return computed;
}

void fetch_into(const Computed& computed, DType dtype, void* data) {
  const ChunkGrid& chunks = computed.chunks;
  const std::size_t item = item_size(dtype);
  const Shape grid = chunks.grid();
  const Strides strides = contiguous_strides(chunks.shape(), item);
  std::vector<std::uint32_t> indices(static_cast<std::size_t>(chunks.blocks()));
  std::iota(indices.begin(), indices.end(), 0u);
  Shape block(grid.size());
  computed.results->fetch(indices, [&](std::uint32_t index, const Chunk& chunk) {
    unravel(index, grid, block);
    const Shape shape = chunks.block_shape(block), offset = chunks.block_offset(block);
    if (chunk.dtype() != dtype || chunk.shape() != shape) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("chunk {} came as {} {} instead of {} {}", to_string(block), name_of(chunk.dtype()),
                              to_string(chunk.shape()), name_of(dtype), to_string(shape)));
    }
    auto* to = static_cast<std::byte*>(data);
    for (std::size_t d = 0; d < offset.size(); ++d) to += offset[d] * strides[d];
    if (chunk.size() > 0) copy_strided(shape, item, chunk.data(), chunk.strides(), to, strides);
  });
}

}  // namespace detail

struct Future::Impl {
  detail::Computed computed;
  DType dtype;
  Shape shape;
};

namespace {

HostArray fetch(const detail::Computed& computed, DType dtype, const Shape& shape) {
  HostArray values(dtype, shape);
  detail::fetch_into(computed, dtype, values.data());
  return values;
}

const std::shared_ptr<ResultSet>& persisted(const detail::ExpressionPtr& expression, const char* what) {
  const detail::Stored* stored = detail::stored_of(expression);
  if (stored == nullptr) {
    throw ValueError(fmt::format("{} needs a persisted array; this one is an expression (persist() it first)", what));
  }
  return stored->results;
}

}  // namespace

std::vector<HostArray> compute(const std::vector<Array>& arrays, const Client& client, const ComputeOptions& options) {
  std::uint64_t bytes = 0;
  std::vector<detail::ExpressionPtr> expressions;
  for (const Array& array : arrays) {
    bytes += array.nbytes();
    expressions.push_back(array.expression());
  }
  detail::check_memory(bytes);
  const std::vector<detail::Computed> computed = detail::start(expressions, client, options);
  std::vector<HostArray> values;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    values.push_back(fetch(computed[i], arrays[i].dtype(), arrays[i].shape()));
  }
  return values;
}

HostArray Array::compute(const Client& client, const ComputeOptions& options) const {
  return tegula::compute({*this}, client, options)[0];
}
HostArray Array::compute(const ComputeOptions& options) const { return compute(Client::current(), options); }

void Array::compute_into(void* data, std::size_t nbytes, const Client& client, const ComputeOptions& options) const {
  if (nbytes != this->nbytes()) {
    throw ValueError(fmt::format("compute_into {} bytes, but an array of shape {} and dtype {} has {}", nbytes,
                                 to_string(shape()), name_of(dtype()), this->nbytes()));
  }
  detail::fetch_into(detail::start({expression_}, client, options)[0], dtype(), data);
}

Future compute_async(const Array& array, const Client& client, const ComputeOptions& options) {
  detail::check_memory(array.nbytes());
  auto computed = detail::start({array.expression()}, client, options)[0];
  return Future(std::make_shared<Future::Impl>(Future::Impl{std::move(computed), array.dtype(), array.shape()}));
}

std::vector<Array> persist(const std::vector<Array>& arrays, const Client& client, const ComputeOptions& options) {
  std::vector<detail::ExpressionPtr> expressions;
  for (const Array& array : arrays) expressions.push_back(array.expression());
  const std::vector<detail::Computed> computed = detail::start(expressions, client, options);
  std::vector<Array> stored;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    detail::ExpressionPtr base = detail::without_relabels(expressions[i]);
    if (!base->as<detail::Stored>()) {
      base = detail::make_expression(detail::Stored{computed[i].results}, {}, base->dtype, base->chunks);
    }
    stored.push_back(Array(detail::relabel_as(expressions[i], std::move(base))));
  }
  return stored;
}

Array Array::persist(const Client& client, const ComputeOptions& options) const {
  return tegula::persist({*this}, client, options)[0];
}
Array Array::persist(const ComputeOptions& options) const { return persist(Client::current(), options); }

void Array::wait(std::optional<std::chrono::nanoseconds> timeout) const {
  persisted(expression_, "wait()")->wait(timeout);
}
FutureStatus Array::status() const { return persisted(expression_, "status()")->status(); }
void Array::cancel() const { persisted(expression_, "cancel()")->cancel(); }

std::string Array::key(const Shape& block) const {
  const ResultSet& results = *persisted(expression_, "key()");
  const Shape blocks = num_blocks();
  bool inside = block.size() == blocks.size();
  std::int64_t index = 0;
  for (std::size_t d = 0; inside && d < blocks.size(); ++d) {
    inside = block[d] >= 0 && block[d] < blocks[d];
    index = index * blocks[d] + block[d];
  }
  if (!inside) {
    throw IndexError(fmt::format("no block {} in an array of {} blocks", to_string(block), to_string(blocks)));
  }
  const LayerHandle& layer = *results.layer();
  return key_text(layer.description(), layer.hash(), static_cast<std::uint32_t>(index), results.output());
}

void Array::replicate(unsigned workers) const {
  const ResultSet& results = *persisted(expression_, "replicate()");
  results.wait();
  const LayerHandle& layer = *results.layer();
  layer.client()->command(
      {0, msg::CommandKind::kReplicate, "", workers, {{layer.number(), results.output(), 0, results.size()}}},
      std::nullopt);
}

HostArray Future::result(std::optional<std::chrono::nanoseconds> timeout) const {
  wait(timeout);
  return fetch(impl_->computed, impl_->dtype, impl_->shape);
}
FutureStatus Future::status() const { return impl_->computed.results->status(); }
void Future::wait(std::optional<std::chrono::nanoseconds> timeout) const { impl_->computed.results->wait(timeout); }
void Future::cancel() { impl_->computed.results->cancel(); }

}  // namespace tegula
