// The transports by scheme. A new one (tls, ucx) is a file of its own and a line in transport.cc.
#pragma once

#include <memory>

#include "comm/link.h"
#include "comm/transport.h"

namespace tegula {

class TransportKind {
 public:
  virtual ~TransportKind() = default;
  virtual std::unique_ptr<Listener> listen(const LoopPtr& loop, const Address& address, const CommOptions& options,
                                           AcceptHandler accept) const = 0;
  // On the loop.
  virtual void connect(const LoopPtr& loop, const Address& address, const CommOptions& options,
                       ConnectHandler handler) const = 0;
  virtual bool is_loopback(const Address& address) const = 0;
};

const TransportKind& inproc_transport();
const TransportKind& tcp_transport();

}  // namespace tegula
