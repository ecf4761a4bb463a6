#include "worker/store/loans.h"

namespace tegula::worker {

Chunk Loans::lend(const Chunk& chunk) {
  const Buffer& buffer = chunk.buffer();
  const std::weak_ptr<std::function<void(Buffer)>> ended = ended_;
  auto owner = std::shared_ptr<void>(const_cast<void*>(buffer.identity()), [desk = desk_, ended, buffer](void*) {
    desk->post([ended, buffer] {
      if (const auto tell = ended.lock()) (*tell)(buffer);
    });
  });
  const auto offset = static_cast<std::size_t>(chunk.data() - buffer.data());
  Buffer lent = Buffer::wrap(const_cast<std::byte*>(buffer.data()), buffer.size(), std::move(owner));
  return Chunk(chunk.dtype(), chunk.shape(), chunk.strides(), std::move(lent), offset);
}

}  // namespace tegula::worker
