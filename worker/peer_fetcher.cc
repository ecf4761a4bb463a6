#include "worker/peer_fetcher.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "src/log.h"

namespace tegula::worker {

struct PeerFetcher::Impl : std::enable_shared_from_this<Impl> {
  struct Peer {
    std::uint64_t number = 0;             // of this connection: a peer may be connected to anew
    ConnectionPtr connection;             // null while connecting
    std::vector<StartFetch> unsent;       // while connecting
    std::set<std::uint64_t> outstanding;  // requests sent and not answered
    Time busy_since{0};                   // while there are some
  };

  Impl(EventLoop& event_loop, std::function<void(Event)> to) : loop(event_loop), deliver(std::move(to)) {}

  void fetch(StartFetch fetch) {
    const WorkerId worker = fetch.peer;
    const auto [found, is_new] = peers.try_emplace(worker);
    Peer& peer = found->second;
    if (is_new) {
      peer.number = ++last_number;
      const std::string address = fetch.address;
      peer.unsent.push_back(std::move(fetch));
      connect_to(worker, peer.number, address);
    } else if (peer.connection == nullptr) {
      peer.unsent.push_back(std::move(fetch));
    } else {
      send(peer, std::move(fetch));
    }
  }

  void send(Peer& peer, StartFetch fetch) {
    Traffic& traffic = traffic_of[fetch.peer];
    ++traffic.requests;
    if (peer.outstanding.empty()) peer.busy_since = now();
    peer.outstanding.insert(fetch.request);
    peer.connection->send(msg::Fetch{fetch.request, std::move(fetch.items), fetch.attempt, fetch.at_most});
  }

  void connect_to(WorkerId worker, std::uint64_t number, const std::string& address) {
    const auto connected = [weak = weak_from_this(), worker, number, address](ConnectionPtr connection,
                                                                              std::optional<ErrorInfo> error) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      Peer* peer = self->find(worker, number);
      if (peer == nullptr) return;
      if (error) {
        log::warning("worker", "cannot fetch from {}: {}", address, error->message);
        self->fail(worker, number);
        return;
      }
      self->established(worker, *peer, std::move(connection));
    };
    try {
      connect(loop, address, options, connected);
    } catch (const Error& error) {  // a malformed address
      log::warning("worker", "cannot fetch from {}: {}", address, error.what());
      loop.post([weak = weak_from_this(), worker, number] {
        if (const auto self = weak.lock()) self->fail(worker, number);
      });
    }
  }

  void established(WorkerId worker, Peer& peer, ConnectionPtr connection) {
    const std::uint64_t number = peer.number;
    connection->on_messages = [weak = weak_from_this(), worker, number](std::vector<msg::Message> messages) {
      if (const auto self = weak.lock()) self->receive(worker, number, std::move(messages));
    };
    connection->on_closed = [weak = weak_from_this(), worker, number](const std::string& reason) {
      if (const auto self = weak.lock()) self->closed(worker, number, reason);
    };
    peer.connection = std::move(connection);
    for (StartFetch& fetch : std::exchange(peer.unsent, {})) send(peer, std::move(fetch));
  }

  void receive(WorkerId worker, std::uint64_t number, std::vector<msg::Message> messages) {
    for (msg::Message& message : messages) {
      Peer* peer = find(worker, number);
      if (peer == nullptr) return;
      auto* reply = std::get_if<msg::FetchReply>(&message);
      if (reply == nullptr || peer->outstanding.erase(reply->request) == 0) {
        log::warning("worker", "{} sent {} that was not asked for; closing the connection",
                     peer->connection->peer().address, msg::name_of(message));
        fail(worker, number);
        return;
      }
      std::uint64_t bytes = 0;
      for (const auto& item : reply->items) {
        if (item.status == msg::FetchStatus::kOk) bytes += item.chunk.nbytes();
      }
      bytes_in += bytes;
      traffic_of[worker].bytes += bytes;
      if (peer->outstanding.empty()) traffic_of[worker].busy += now() - peer->busy_since;
      deliver(std::move(*reply));
    }
  }

  void closed(WorkerId worker, std::uint64_t number, const std::string& reason) {
    const Peer* peer = find(worker, number);
    if (peer == nullptr) return;
    if (!peer->outstanding.empty()) {
      log::warning("worker", "lost the connection to {} with {} fetches under way: {}",
                   peer->connection->peer().address, peer->outstanding.size(), reason);
    }
    fail(worker, number);
  }

  Peer* find(WorkerId worker, std::uint64_t number) {
    const auto found = peers.find(worker);
    return found == peers.end() || found->second.number != number ? nullptr : &found->second;
  }

  // Ends the connection; everything asked of it has failed.
  void fail(WorkerId worker, std::uint64_t number) {
    if (find(worker, number) == nullptr) return;
    auto node = peers.extract(worker);
    Peer& peer = node.mapped();
    retire(std::move(peer.connection));
    if (!peer.outstanding.empty()) traffic_of[worker].busy += now() - peer.busy_since;
    for (const std::uint64_t request : peer.outstanding) deliver(FetchFailed{request});
    for (const StartFetch& fetch : peer.unsent) deliver(FetchFailed{fetch.request});
  }

  // Closes a connection, also from within its own handlers.
  void retire(ConnectionPtr connection) {
    if (connection == nullptr) return;
    of_the_past = of_the_past + connection->counters();
    loop.post([connection = std::move(connection)] { connection->close(); });
  }

  void close(WorkerId worker) {
    auto node = peers.extract(worker);
    if (!node.empty()) retire(std::move(node.mapped().connection));
    traffic_of.erase(worker);
  }

  void close() {
    for (auto& [worker, peer] : peers) retire(std::move(peer.connection));
    peers.clear();
    traffic_of.clear();
  }

  static Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

  std::vector<Traffic> traffic() const {
    std::vector<Traffic> all;
    for (const auto& [worker, traffic] : traffic_of) {
      all.push_back(traffic);
      all.back().peer = worker;
      const auto peer = peers.find(worker);
      if (peer == peers.end()) continue;
      if (peer->second.connection != nullptr) all.back().address = peer->second.connection->peer().address;
      if (!peer->second.outstanding.empty()) all.back().busy += now() - peer->second.busy_since;
    }
    std::sort(all.begin(), all.end(), [](const Traffic& a, const Traffic& b) { return a.peer < b.peer; });
    return all;
  }

  Connection::Counters counters() const {
    Connection::Counters sum = of_the_past;
    for (const auto& [worker, peer] : peers) {
      if (peer.connection != nullptr) sum = sum + peer.connection->counters();
    }
    return sum;
  }

  EventLoop& loop;
  const std::function<void(Event)> deliver;
  CommOptions options;
  std::unordered_map<WorkerId, Peer> peers;
  std::unordered_map<WorkerId, Traffic> traffic_of;  // but for `peer` and `address`
  std::uint64_t last_number = 0;
  std::uint64_t bytes_in = 0;
  Connection::Counters of_the_past;  // of connections that have ended
};

PeerFetcher::PeerFetcher(EventLoop& loop, std::function<void(Event)> deliver)
    : impl_(std::make_shared<Impl>(loop, std::move(deliver))) {}
PeerFetcher::~PeerFetcher() { close(); }
void PeerFetcher::set_options(CommOptions options) { impl_->options = std::move(options); }
void PeerFetcher::fetch(StartFetch fetch) { impl_->fetch(std::move(fetch)); }
void PeerFetcher::close(WorkerId peer) { impl_->close(peer); }
void PeerFetcher::close() { impl_->close(); }
std::uint64_t PeerFetcher::bytes_in() const { return impl_->bytes_in; }
Connection::Counters PeerFetcher::counters() const { return impl_->counters(); }
std::vector<PeerFetcher::Traffic> PeerFetcher::traffic() const { return impl_->traffic(); }

}  // namespace tegula::worker
