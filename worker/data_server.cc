#include "worker/data_server.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <new>
#include <utility>
#include <vector>

#include "src/log.h"
#include "worker/store/loop_desk.h"

namespace tegula::worker {

namespace {

// Smaller values are not missed in the count of what is in use, and a handle for each would cost more than sending it.
constexpr std::uint64_t kLentFrom = 64u << 10;

// One item of a reply under way: a view that may still have to be copied.
struct Item {
  msg::FetchStatus status = msg::FetchStatus::kOk;
  Chunk chunk;
  bool copy = false;
  FileId file = 0;  // where it is, when it has to be read first
  std::uint64_t bytes = 0;
};

Item refused(msg::FetchStatus status) {
  Item item;
  item.status = status;
  return item;
}

void make_contiguous(std::vector<Item>& items, BufferPool& pool) {
  for (Item& item : items) {
    if (!item.copy) continue;
    try {
      item.chunk = item.chunk.compact([&pool](std::size_t size) { return pool.allocate(size); });
    } catch (const std::bad_alloc&) {
      item = refused(msg::FetchStatus::kBusy);  // memory may come free; the asker tries again
    }
  }
}

}  // namespace

struct DataServer::Impl : std::enable_shared_from_this<Impl> {
  struct Peer {
    ConnectionPtr connection;
    std::uint64_t being_copied = 0;  // bytes that will be queued when the copy is made
    bool shares_memory = false;      // inproc: what is sent keeps its buffer alive at the other end
    std::size_t waiting = 0;         // of its requests
    std::uint64_t requests = 0, bytes_out = 0;
  };
  using PeerNumber = std::uint64_t;
  struct Waiting {
    PeerNumber peer = 0;
    msg::Fetch fetch;
  };
  // A request some of whose items come from disk.
  struct DiskReply {
    PeerNumber peer = 0;
    msg::Fetch fetch;
    std::vector<Item> items;
    std::size_t unread = 0;  // items that are being read
  };

  Impl(EventLoop& event_loop, std::shared_ptr<BufferPool> buffers, Limits bounds, Source from)
      : loop(event_loop), pool(std::move(buffers)), limits(bounds), source(std::move(from)) {}

  void accept(ConnectionPtr connection) {
    const PeerNumber number = ++last_peer;
    connection->on_messages = [weak = weak_from_this(), number](std::vector<msg::Message> messages) {
      if (const auto self = weak.lock()) self->receive(number, std::move(messages));
    };
    connection->on_closed = [weak = weak_from_this(), number](const std::string&) {
      if (const auto self = weak.lock()) self->drop(number);
    };
    const bool shares_memory = connection->peer().address.starts_with("inproc:");
    peers.emplace(number, Peer{std::move(connection), 0, shares_memory, 0, 0, 0});
  }

  // Ends a connection, also from within its own handlers.
  void drop(PeerNumber number) {
    const auto found = peers.find(number);
    if (found == peers.end()) return;
    loop.post([connection = std::move(found->second.connection)] { connection->close(); });
    if (found->second.waiting > 0) {
      for (auto at = waiting.begin(); at != waiting.end();) {
        std::erase_if(at->second, [number](const Waiting& one) { return one.peer == number; });
        at = at->second.empty() ? waiting.erase(at) : std::next(at);
      }
    }
    peers.erase(found);
  }

  void receive(PeerNumber number, std::vector<msg::Message> messages) {
    for (msg::Message& message : messages) {
      const auto found = peers.find(number);
      if (found == peers.end()) return;
      if (auto* fetch = std::get_if<msg::Fetch>(&message)) {
        if (fetch->attempt != AttemptId{} && lacks_any(*fetch)) {
          wait(number, found->second, std::move(*fetch));
        } else {
          serve(number, found->second, std::move(*fetch));
        }
      } else if (const auto* query = std::get_if<msg::Query>(&message); query != nullptr && *on_question) {
        found->second.connection->send(msg::QueryReply{query->request, false, {}, (*on_question)(), 0});
      } else {
        log::warning("worker", "{} sent {} where only Fetch belongs; closing its connection",
                     found->second.connection->peer().name, msg::name_of(message));
        drop(number);
      }
    }
  }

  bool lacks_any(const msg::Fetch& fetch) const {
    return std::any_of(fetch.items.begin(), fetch.items.end(), [this](const msg::Fetch::Item& item) {
      const Found found = source.lookup(item.result);
      return !found.chunk && found.file == 0;
    });
  }

  void wait(PeerNumber number, Peer& peer, msg::Fetch fetch) {
    if (peer.waiting >= limits.waiting_per_peer) {
      reply(peer, fetch.request, std::vector<Item>(fetch.items.size(), refused(msg::FetchStatus::kBusy)));
      return;
    }
    ++peer.waiting;
    const AttemptId attempt = fetch.attempt;
    std::vector<Waiting>& all = waiting[attempt];
    all.push_back({number, std::move(fetch)});
    if (all.size() == 1) source.await(attempt);
  }

  void attempt_ended(AttemptId attempt) {
    auto node = waiting.extract(attempt);
    if (node.empty()) return;
    for (Waiting& one : node.mapped()) {
      const auto found = peers.find(one.peer);
      if (found == peers.end()) continue;
      --found->second.waiting;
      serve(one.peer, found->second, std::move(one.fetch));
    }
  }

  void serve(PeerNumber number, Peer& peer, msg::Fetch fetch) {
    ++peer.requests;
    std::uint64_t under_way = peer.connection->counters().queued_bytes + peer.being_copied;
    std::vector<Item> items(fetch.items.size());
    bool from_disk = false;
    for (std::size_t i = 0; i < items.size(); ++i) {
      Item& item = items[i];
      find(fetch.items[i], item, /*lend=*/!peer.shares_memory);
      if (item.status != msg::FetchStatus::kOk) continue;
      if (fetch.at_most != 0 && item.bytes > fetch.at_most) {
        item = refused(msg::FetchStatus::kLarge);
        continue;
      }
      if (under_way > 0 && under_way + item.bytes > limits.bytes_per_peer) {
        item = refused(msg::FetchStatus::kBusy);
        continue;
      }
      under_way += item.bytes;
      from_disk = from_disk || item.file != 0;
    }
    if (!from_disk) return prepare(number, peer, fetch.request, std::move(items));
    disk_queue.push_back(std::make_shared<DiskReply>(DiskReply{number, std::move(fetch), std::move(items), 0}));
    read_next();
  }

  // ---- from disk -------------------------------------------------------------------------------------------------

  void read_next() {
    while (!disk_queue.empty()) {
      const std::shared_ptr<DiskReply> next = disk_queue.front();
      if (peers.contains(next->peer)) {
        for (Item& item : next->items) {
          if (item.file == 0) continue;
          const bool fits = bytes_from_disk == 0 || bytes_from_disk + item.bytes <= limits.bytes_from_disk;
          if (!fits && next->unread == 0) return;  // until others have been sent
          if (fits) {
            read(next, item);
          } else {
            item = refused(msg::FetchStatus::kBusy);
          }
        }
      }
      disk_queue.pop_front();
    }
  }

  void read(const std::shared_ptr<DiskReply>& reply, Item& item) {
    ++reply->unread;
    bytes_from_disk += item.bytes;
    const auto place = static_cast<std::size_t>(&item - reply->items.data());
    source.read_file(item.file, [weak = weak_from_this(), desk = desk, reply, place](std::optional<Chunk> chunk) {
      desk->post([weak, reply, place, chunk = std::move(chunk)]() mutable {
        if (const auto self = weak.lock()) self->was_read(reply, place, std::move(chunk));
      });
    });
  }

  void was_read(const std::shared_ptr<DiskReply>& reply, std::size_t place, std::optional<Chunk> chunk) {
    Item& item = reply->items[place];
    const std::uint64_t bytes = item.bytes;
    item.file = 0;
    if (!chunk) {
      item = refused(msg::FetchStatus::kMissing);
      give_room_back(bytes);
    } else {
      view(reply->fetch.items[place], counted(std::move(*chunk), bytes), item);
    }
    if (--reply->unread > 0) return;
    if (const auto found = peers.find(reply->peer); found != peers.end()) {
      prepare(reply->peer, found->second, reply->fetch.request, std::move(reply->items));
    }
  }

  // The chunk, in a handle with whose last copy its bytes are free for others.
  Chunk counted(Chunk chunk, std::uint64_t bytes) {
    const Buffer& buffer = chunk.buffer();
    auto owner =
        std::shared_ptr<void>(const_cast<void*>(buffer.identity()),
                              [weak = weak_from_this(), desk = desk, bytes, held = Buffer(buffer)](void*) mutable {
                                held = {};
                                desk->post([weak, bytes] {
                                  if (const auto self = weak.lock()) self->give_room_back(bytes);
                                });
                              });
    Buffer handle = Buffer::wrap(const_cast<std::byte*>(buffer.data()), buffer.size(), std::move(owner));
    return Chunk(chunk.dtype(), chunk.shape(), chunk.strides(), std::move(handle), 0);
  }

  void give_room_back(std::uint64_t bytes) {
    bytes_from_disk -= bytes;
    read_next();
  }

  // ---- replies ---------------------------------------------------------------------------------------------------

  void prepare(PeerNumber number, Peer& peer, std::uint64_t request, std::vector<Item> items) {
    std::uint64_t to_copy = 0;
    for (Item& item : items) {
      if (item.status != msg::FetchStatus::kOk) continue;
      const std::uint64_t bytes = item.chunk.nbytes();
      item.copy = !item.chunk.contiguous() || (peer.shares_memory && bytes < item.chunk.buffer().size() / 2);
      if (item.copy) to_copy += bytes;
    }
    if (to_copy <= limits.copied_on_loop) {
      make_contiguous(items, *pool);
      reply(peer, request, std::move(items));
      return;
    }
    peer.being_copied += to_copy;
    if (copier == nullptr) {
      copier = std::make_unique<EventLoop>();
      copier->start("worker-copy");
    }
    copier->post([weak = weak_from_this(), number, to_copy, request, buffers = pool,
                  work = std::make_shared<std::vector<Item>>(std::move(items)), &home = loop] {
      make_contiguous(*work, *buffers);
      home.post([weak, number, to_copy, request, work] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        const auto found = self->peers.find(number);
        if (found == self->peers.end()) return;
        found->second.being_copied -= to_copy;
        self->reply(found->second, request, std::move(*work));
      });
    });
  }

  // What a peer of this process gets is its own to count from then on.
  void find(const msg::Fetch::Item& wanted, Item& item, bool lend) {
    const Found found = source.lookup(wanted.result);
    if (found.file != 0) {
      item.file = found.file;
      item.bytes = found.bytes;
    } else if (!found.chunk) {
      item.status = found.unsure ? msg::FetchStatus::kBusy : msg::FetchStatus::kMissing;
    } else {
      view(wanted, *found.chunk, item);
      const bool sent = item.status == msg::FetchStatus::kOk && lend && item.bytes >= kLentFrom;
      if (sent) item.chunk = source.lend(item.chunk);
    }
  }

  static void view(const msg::Fetch::Item& wanted, const Chunk& chunk, Item& item) {
    try {
      item.chunk = wanted.box.empty() ? chunk : chunk.view(wanted.box);
      item.bytes = item.chunk.nbytes();
    } catch (const Error&) {
      item = refused(msg::FetchStatus::kBadBox);
    }
  }

  void reply(Peer& peer, std::uint64_t request, std::vector<Item> items) {
    msg::FetchReply message{request, {}};
    message.items.reserve(items.size());
    for (Item& item : items) {
      if (item.status == msg::FetchStatus::kOk) {
        bytes_out += item.chunk.nbytes();
        peer.bytes_out += item.chunk.nbytes();
      }
      message.items.push_back({item.status, std::move(item.chunk)});
    }
    peer.connection->send(std::move(message));
  }

  EventLoop& loop;
  const std::shared_ptr<BufferPool> pool;
  const Limits limits;
  const Source source;
  const std::shared_ptr<LoopDesk> desk = std::make_shared<LoopDesk>(loop);
  std::unique_ptr<Listener> listener;
  std::unordered_map<PeerNumber, Peer> peers;
  std::unordered_map<AttemptId, std::vector<Waiting>> waiting;  // by what they wait for
  PeerNumber last_peer = 0;
  std::deque<std::shared_ptr<DiskReply>> disk_queue;  // wait for room to be read
  std::uint64_t bytes_from_disk = 0;                  // being read, or read and not sent
  std::uint64_t bytes_out = 0;
  const std::function<std::string()>* on_question = nullptr;  // the owner's
  std::unique_ptr<EventLoop> copier;                          // started when first needed
};

DataServer::DataServer(EventLoop& loop, std::shared_ptr<BufferPool> pool, Limits limits, Source source)
    : impl_(std::make_shared<Impl>(loop, std::move(pool), limits, std::move(source))) {
  impl_->on_question = &on_question;
}

DataServer::~DataServer() {
  impl_->desk->close();
  impl_->copier.reset();  // joins: nothing refers to the loop afterwards
  close();                // and with the connections their handlers: none calls on_question any more
}

void DataServer::listen(const std::string& address, PortRange ports, const CommOptions& options) {
  const auto accept = [weak = std::weak_ptr<Impl>(impl_)](ConnectionPtr connection) {
    if (const auto impl = weak.lock()) impl->accept(std::move(connection));
  };
  Address wanted = parse_address(address);
  const bool search = wanted.scheme != "inproc" && wanted.port == 0 && ports.first != 0;
  if (!search) {
    impl_->listener = tegula::listen(impl_->loop, address, options, accept);
    return;
  }
  for (std::uint32_t port = ports.first;; ++port) {
    wanted.port = static_cast<std::uint16_t>(port);
    try {
      impl_->listener = tegula::listen(impl_->loop, to_string(wanted), options, accept);
      return;
    } catch (const ConnectionError&) {
      if (port >= ports.last) throw;
    }
  }
}

std::string DataServer::address() const { return impl_->listener == nullptr ? "" : impl_->listener->address(); }

void DataServer::close() {
  impl_->listener.reset();
  while (!impl_->peers.empty()) impl_->drop(impl_->peers.begin()->first);
}

void DataServer::attempt_ended(AttemptId attempt) { impl_->attempt_ended(attempt); }

std::uint64_t DataServer::bytes_out() const { return impl_->bytes_out; }

std::vector<DataServer::Traffic> DataServer::traffic() const {
  std::vector<Traffic> all;
  for (const auto& [number, peer] : impl_->peers) {
    all.push_back({peer.connection->peer().name, peer.requests, peer.bytes_out});
  }
  std::sort(all.begin(), all.end(), [](const Traffic& a, const Traffic& b) { return a.name < b.name; });
  return all;
}

}  // namespace tegula::worker
