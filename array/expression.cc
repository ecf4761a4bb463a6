#include "array/expression.h"

#include <unordered_map>
#include <utility>

#include "src/hash.h"

namespace tegula::detail {
namespace {

void put(ByteWriter& out, const PositionMap& map) {
  out.put_list(map.axis);
  out.put_list(map.start);
  out.put_list(map.step);
}

void put(ByteWriter& out, const ChunkGrid& chunks) {
  out.put(chunks.ndim());
  for (const DimChunks& dim : chunks.dims()) {
    out.put(dim.extent());
    out.put(dim.chunk());
    out.put(dim.regular());
    if (!dim.regular()) out.put_list(*dim.explicit_sizes());
  }
}

// The fields of a source in canonical order. Doubles go as their bits: -0.0 and 0.0 are different sources.
struct PutSource {
  ByteWriter& out;
  void operator()(const InputSource&) const { throw Error(ErrorCode::kInternal, "an input is no generated source"); }
  void operator()(const ConstantSource& s) const {
    out.put(s.dtype);
    for (std::uint8_t byte : s.value) out.put(byte);
  }
  void operator()(const IotaSource& s) const {
    out.put(s.dtype);
    put(out, s.map);
    out.put(s.first_int);
    out.put(s.delta_int);
    out.put(s.first_float);
    out.put(s.delta_float);
  }
  void operator()(const RandomSource& s) const {
    out.put(s.dtype);
    out.put(s.distribution);
    out.put(s.key);
    out.put(s.stream);
    out.put_list(s.shape);
    put(out, s.map);
    out.put(s.a);
    out.put(s.b);
    out.put(s.low_int);
    out.put(s.range);
  }
};

struct PutNode {
  ByteWriter& out;
  void operator()(const Generated& node) const {
    out.put(static_cast<std::uint8_t>(node.source.index()));
    out.put(node.scalar);
    std::visit(PutSource{out}, node.source);
  }
  void operator()(const Elementwise& node) const { out.put(node.op); }
  void operator()(const View& node) const {
    put(out, node.map);
    out.put(node.implicit);
  }
  void operator()(const Rechunk&) const {}
  void operator()(const Reduce& node) const {
    out.put(node.reduction.op);
    out.put(node.reduction.dtype);
    for (bool reduced : node.reduction.axes) out.put(reduced);
  }
  void operator()(const NpyFile& node) const { out.put_bytes(encode(node.params)); }
  void operator()(const HostValues& node) const {
    out.put(node.content.high);
    out.put(node.content.low);
  }
  void operator()(const Stored& node) const {
    out.put(reinterpret_cast<std::uintptr_t>(node.results.get()));  // alive as long as the node is
  }
};

LayerHash token_of(const Expression& expression) {
  ByteWriter out;
  out.put(static_cast<std::uint8_t>(expression.node.index()));
  std::visit(PutNode{out}, expression.node);
  out.put(expression.dtype);
  put(out, expression.chunks);
  for (const ExpressionPtr& input : expression.inputs) {
    out.put(input->token.high);
    out.put(input->token.low);
  }
  return hash_bytes(out.bytes());
}

}  // namespace

Expression::Expression(Node node_, std::vector<ExpressionPtr> inputs_, DType dtype_, ChunkGrid chunks_)
    : node(std::move(node_)),
      inputs(std::move(inputs_)),
      dtype(dtype_),
      chunks(std::move(chunks_)),
      shape(chunks.shape()),
      token(token_of(*this)) {}

Expression::~Expression() {
  // The outermost destructor of a chain empties this list; those it sets off only add to it.
  thread_local std::vector<ExpressionPtr>* pending = nullptr;
  if (pending != nullptr) {
    for (ExpressionPtr& input : inputs) pending->push_back(std::move(input));
    return;
  }
  std::vector<ExpressionPtr> list = std::move(inputs);
  pending = &list;
  while (!list.empty()) {
    ExpressionPtr last = std::move(list.back());
    list.pop_back();
    last.reset();
  }
  pending = nullptr;
}

ExpressionPtr make_expression(Node node, std::vector<ExpressionPtr> inputs, DType dtype, ChunkGrid chunks) {
  if (chunks.ndim() > kMaxNdim) {
    throw ShapeError("an array of " + std::to_string(chunks.ndim()) + " dimensions; at most " +
                     std::to_string(kMaxNdim) + " are supported");
  }
  contiguous_strides(chunks.shape(), item_size(dtype));  // throws when the number of bytes overflows
  return std::make_shared<const Expression>(std::move(node), std::move(inputs), dtype, std::move(chunks));
}

std::vector<const Expression*> topological_order(const std::vector<ExpressionPtr>& roots) {
  std::vector<const Expression*> order;
  std::unordered_map<LayerHash, bool> done;  // false: its inputs are being visited
  std::vector<const Expression*> stack;
  for (const ExpressionPtr& root : roots) {
    stack.push_back(root.get());
    while (!stack.empty()) {
      const Expression* top = stack.back();
      auto [entry, fresh] = done.try_emplace(top->token, false);
      if (fresh) {
        for (std::size_t i = top->inputs.size(); i-- > 0;) stack.push_back(top->inputs[i].get());
        continue;
      }
      stack.pop_back();
      if (entry->second) continue;
      entry->second = true;
      order.push_back(top);
    }
  }
  return order;
}

}  // namespace tegula::detail
