// Between parts of one process. Messages are handed over as they are; nothing is encoded or copied. Each end lives on
// its own loop; a batch costs one lock and one post. Messages are taken by whichever thread runs the loop.
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "comm/codec.h"
#include "comm/handshake.h"
#include "comm/transport_kind.h"
#include "tegula/error.h"

namespace tegula {

namespace {

class InprocLink final : public Link, public LoopResident {
 public:
  InprocLink(LoopPtr loop, PeerInfo peer, const CommOptions& options)
      : Link(std::move(loop), std::move(peer)), max_queued_control_bytes_(options.max_queued_control_bytes) {}
  ~InprocLink() {
    loop()->remove_resident(this);
    if (const auto other = other_.lock()) other->end("the peer closed the connection");
  }

  static std::shared_ptr<InprocLink> make(LoopPtr loop, PeerInfo peer, const CommOptions& options) {
    auto link = std::make_shared<InprocLink>(loop, std::move(peer), options);
    loop->add_resident(link.get(), std::shared_ptr<LoopResident>(link, link.get()));
    return link;
  }
  static void join(const std::shared_ptr<InprocLink>& a, const std::shared_ptr<InprocLink>& b) {
    a->other_ = b;
    b->other_ = a;
  }

  void send(msg::Message message) override;
  std::optional<std::string> excess(const msg::Message&) const override { return std::nullopt; }  // there are no frames
  Connection::Counters counters() const override;
  void start() override {}
  void shut() override;
  void loop_gone() override;

 private:
  // What the other end has put here and this end has not taken yet. Guarded by mutex_.
  struct Inbox {
    std::vector<msg::Message> messages;
    std::uint64_t bytes = 0;
    std::uint64_t batches = 0;
    bool scheduled = false;
    bool ended = false;
    std::string end_reason;
  };

  std::shared_ptr<InprocLink> self() { return std::static_pointer_cast<InprocLink>(shared_from_this()); }
  void schedule_flush();
  void flush();
  void put(std::vector<msg::Message>& batch, std::uint64_t bytes);
  void end(const std::string& reason);
  void schedule_take();
  void take();

  const std::uint64_t max_queued_control_bytes_;
  std::weak_ptr<InprocLink> other_;  // set before anything runs
  bool open_ = true;
  bool flush_scheduled_ = false;
  std::vector<msg::Message> outgoing_;
  std::uint64_t outgoing_bytes_ = 0;
  Connection::Counters counters_;

  mutable std::mutex mutex_;
  Inbox inbox_;
};

void InprocLink::send(msg::Message message) {
  if (!open_) return;
  const std::uint64_t bytes = codec::measure(message).control_bytes;
  outgoing_bytes_ += bytes;
  outgoing_.push_back(std::move(message));
  ++counters_.messages_out;
  if (counters().queued_bytes > max_queued_control_bytes_) {
    const std::string reason = "the peer does not keep up: more than " + std::to_string(max_queued_control_bytes_) +
                               " bytes of messages are queued for it";
    open_ = false;
    outgoing_.clear();
    outgoing_bytes_ = 0;
    if (const auto other = other_.lock()) other->end("the peer closed the connection");
    return report_closed(reason);
  }
  schedule_flush();
}

void InprocLink::schedule_flush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop()->at_end_of_turn([self = self()] {
    self->flush_scheduled_ = false;
    self->flush();
  });
}

void InprocLink::flush() {
  if (outgoing_.empty()) return;
  if (const auto other = other_.lock()) other->put(outgoing_, outgoing_bytes_);
  ++counters_.frames_out;
  counters_.bytes_out += outgoing_bytes_;
  outgoing_.clear();
  outgoing_bytes_ = 0;
}

// On the other end's thread.
void InprocLink::put(std::vector<msg::Message>& batch, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (inbox_.ended) return;
  inbox_.bytes += bytes;
  ++inbox_.batches;
  if (inbox_.messages.empty()) {
    inbox_.messages.swap(batch);
  } else {
    inbox_.messages.insert(inbox_.messages.end(), std::make_move_iterator(batch.begin()),
                           std::make_move_iterator(batch.end()));
  }
  schedule_take();
}

// On any thread: nothing comes after what is in the inbox now.
void InprocLink::end(const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (inbox_.ended) return;
  inbox_.ended = true;
  inbox_.end_reason = reason;
  schedule_take();
}

void InprocLink::schedule_take() {
  if (inbox_.scheduled) return;
  inbox_.scheduled = true;
  loop()->post_anywhere([self = self()] { self->take(); });
}

void InprocLink::take() {
  Inbox arrived;
  {
    std::lock_guard lock(mutex_);
    std::swap(arrived, inbox_);
    inbox_.ended = arrived.ended;
  }
  if (!open_) return;
  counters_.messages_in += arrived.messages.size();
  counters_.frames_in += arrived.batches;
  counters_.bytes_in += arrived.bytes;
  if (!arrived.messages.empty()) deliver(std::move(arrived.messages));
  if (!arrived.ended || !open_) return;
  open_ = false;
  report_closed(std::move(arrived.end_reason));
}

void InprocLink::shut() {
  if (!open_) return;
  flush();
  open_ = false;
  if (const auto other = other_.lock()) other->end("the peer closed the connection");
}

void InprocLink::loop_gone() {
  open_ = false;
  outgoing_.clear();
  outgoing_bytes_ = 0;
  if (const auto other = other_.lock()) other->end("the peer's event loop has ended");
}

Connection::Counters InprocLink::counters() const {
  Connection::Counters counters = counters_;
  counters.queued_bytes = outgoing_bytes_;
  if (const auto other = other_.lock()) {
    std::lock_guard lock(other->mutex_);
    counters.queued_bytes += other->inbox_.bytes;
  }
  return counters;
}

// ---- listening and connecting

struct InprocListening {
  std::string name;
  LoopPtr loop;
  CommOptions options;
  AcceptHandler accept;  // empty once the listener is gone; on the loop only
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<InprocListening>> listening;
  std::uint64_t next_name = 1;
};

Registry& registry() {
  static Registry the_registry;
  return the_registry;
}

class InprocListener final : public Listener {
 public:
  explicit InprocListener(std::shared_ptr<InprocListening> listening) : listening_(std::move(listening)) {}
  ~InprocListener() override {
    {
      std::lock_guard lock(registry().mutex);
      registry().listening.erase(listening_->name);
    }
    listening_->loop->finish_on_loop([this] { listening_->accept = nullptr; });
  }
  std::string address() const override { return "inproc://" + listening_->name; }

 private:
  std::shared_ptr<InprocListening> listening_;
};

PeerInfo peer_info(const Introduction& peer, std::string address) {
  return {peer.role, peer.name, std::move(address), peer.incarnation, peer.features};
}

ErrorInfo nobody(const std::string& address) {
  ErrorInfo error;
  error.code = ErrorCode::kConnection;
  error.message = "cannot connect to " + address + ": nothing listens there in this process";
  return error;
}

// The rules of the handshake, without its bytes: both tokens are at hand.
std::optional<ErrorInfo> check(const CommOptions& connector, const CommOptions& acceptor, const std::string& address) {
  if (auto error = check_introduction(introduce(connector), introduce(acceptor), address)) return error;
  if (connector.token != acceptor.token) return wrong_token(address);
  return std::nullopt;
}

class InprocTransport final : public TransportKind {
 public:
  bool is_loopback(const Address&) const override { return true; }

  std::unique_ptr<Listener> listen(const LoopPtr& loop, const Address& address, const CommOptions& options,
                                   AcceptHandler accept) const override {
    auto listening = std::make_shared<InprocListening>(InprocListening{address.host, loop, options, std::move(accept)});
    std::lock_guard lock(registry().mutex);
    if (listening->name.empty()) listening->name = "local-" + std::to_string(registry().next_name++);
    auto& slot = registry().listening[listening->name];
    if (slot.lock()) throw ConnectionError("cannot listen on " + to_string(address) + ": the name is in use");
    slot = listening;
    return std::make_unique<InprocListener>(std::move(listening));
  }

  void connect(const LoopPtr& loop, const Address& address, const CommOptions& options,
               ConnectHandler handler) const override {
    const std::string text = to_string(address);
    std::shared_ptr<InprocListening> listening;
    {
      std::lock_guard lock(registry().mutex);
      const auto found = registry().listening.find(address.host);
      if (found != registry().listening.end()) listening = found->second.lock();
    }
    if (!listening) return handler(nullptr, nobody(text));
    if (auto error = check(options, listening->options, text)) return handler(nullptr, std::move(error));

    auto near = InprocLink::make(loop, peer_info(introduce(listening->options), text), options);
    auto far = InprocLink::make(listening->loop, peer_info(introduce(options), text), listening->options);
    InprocLink::join(near, far);
    listening->loop->post([listening, near, far] {
      const AcceptHandler accept = listening->accept;  // a copy: the listener may go in its own handler
      if (accept) accept(make_connection(far));
    });
    handler(make_connection(near), std::nullopt);
  }
};

}  // namespace

const TransportKind& inproc_transport() {
  static const InprocTransport transport;
  return transport;
}

}  // namespace tegula
