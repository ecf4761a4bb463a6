// tcp://: listening and connecting.
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <cerrno>
#include <deque>
#include <utility>

#include "comm/tcp_greeting_asio.h"
#include "comm/transport_kind.h"
#include "src/log.h"
#include "tegula/error.h"

namespace tegula {

namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// Strangers at a time. When so many are shaking hands, further ones wait in the kernel's backlog, and the oldest is
// dropped when it has taken longer than kPatience.
constexpr std::size_t kMaxGreetings = 256;
constexpr std::chrono::seconds kPatience{1};
constexpr std::chrono::milliseconds kAcceptRetry{100};  // after running out of file descriptors
constexpr std::chrono::seconds kLogInterval{1};

ErrorInfo make_error(ErrorCode code, std::string message) {
  ErrorInfo error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

std::chrono::nanoseconds connect_timeout(const CommOptions& options) {
  return options.connect_timeout.count() > 0 ? options.connect_timeout : std::chrono::hours(24);
}

std::optional<tcp::endpoint> numeric_endpoint(const Address& address) {
  asio::error_code error;
  const auto ip = asio::ip::make_address(address.host, error);
  if (error) return std::nullopt;
  return tcp::endpoint(ip, address.port);
}

// ---- listening

class TcpAcceptor final : public std::enable_shared_from_this<TcpAcceptor>, public LoopResident {
 public:
  TcpAcceptor(LoopPtr loop, const CommOptions& options, AcceptHandler accept)
      : loop_(std::move(loop)), options_(options), handler_(std::move(accept)) {}
  ~TcpAcceptor() { loop_->remove_resident(this); }

  void open(const Address& address);
  void accept();
  void close();
  void loop_gone() override { close(); }
  const std::string& address() const { return address_; }

 private:
  struct Greeted {
    std::shared_ptr<TcpGreeting> greeting;
    Clock::time_point since;
  };

  void on_accept(const asio::error_code& error, tcp::socket socket);
  void greet(tcp::socket socket);
  void forget_closed();
  void refused(const ErrorInfo& error);
  void log_trouble(const std::string& what);
  void accept_later(std::chrono::nanoseconds delay);

  LoopPtr loop_;
  CommOptions options_;
  AcceptHandler handler_;
  std::optional<tcp::acceptor> acceptor_;
  std::string address_;
  std::deque<Greeted> greetings_;  // oldest first
  bool full_ = false;              // of greetings: waiting for one to end
  std::unique_ptr<EventLoop::Timer> retry_;
  Clock::time_point last_log_{};
  std::uint64_t unlogged_ = 0;
};

tcp::endpoint listening_endpoint(asio::io_context& io, const Address& address) {
  if (const auto endpoint = numeric_endpoint(address)) return *endpoint;
  tcp::resolver resolver(io);
  asio::error_code error;
  const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) {
    throw ConnectionError("cannot listen on " + to_string(address) + ": cannot resolve '" + address.host +
                          "': " + error.message());
  }
  return found.begin()->endpoint();
}

void TcpAcceptor::open(const Address& address) {
  const tcp::endpoint endpoint = listening_endpoint(loop_->io(), address);
  if (check_open(options_, is_loopback_endpoint(endpoint), to_string(address))) {
    throw ConfigError("will not listen on " + to_string(address) +
                      ": it is beyond loopback and there is no cluster token (give one, or allow it with --insecure)");
  }
  acceptor_.emplace(loop_->io());
  asio::error_code error;
  acceptor_->open(endpoint.protocol(), error);
  if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6() && endpoint.address().is_unspecified()) {
    acceptor_->set_option(asio::ip::v6_only(false), error);
  }
  if (!error) acceptor_->bind(endpoint, error);
  if (!error) acceptor_->listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    acceptor_.reset();
    const std::string why = error == asio::error::address_in_use ? "the port is in use" : error.message();
    throw ConnectionError("cannot listen on " + to_string(address) + ": " + why);
  }
  address_ = endpoint_text(acceptor_->local_endpoint());
}

void TcpAcceptor::close() {
  handler_ = nullptr;
  retry_.reset();
  acceptor_.reset();
  for (const Greeted& greeted : greetings_) greeted.greeting->cancel();
  greetings_.clear();
}

void TcpAcceptor::accept() {
  if (!acceptor_) return;
  acceptor_->async_accept(
      loop_->in_turn([self = shared_from_this()](const asio::error_code& error, tcp::socket socket) {
        if (self->acceptor_) self->on_accept(error, std::move(socket));
      }));
}

void TcpAcceptor::accept_later(std::chrono::nanoseconds delay) {
  retry_ = loop_->after(delay, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_accept(asio::error::try_again, tcp::socket(self->loop_->io()));
  });
}

void TcpAcceptor::on_accept(const asio::error_code& error, tcp::socket socket) {
  if (!error) {
    greet(std::move(socket));
  } else if (error == asio::error::no_descriptors || error.value() == ENFILE || error.value() == ENOMEM ||
             error == asio::error::no_buffer_space) {
    log_trouble("cannot accept a connection: " + error.message());
    return accept_later(kAcceptRetry);
  }
  if (!acceptor_) return;
  full_ = false;
  forget_closed();
  if (greetings_.size() >= kMaxGreetings) {
    const auto age = Clock::now() - greetings_.front().since;
    full_ = age < kPatience;
    if (full_) return accept_later(kPatience - age);
    greetings_.front().greeting->cancel();
    greetings_.pop_front();
  }
  accept();
}

void TcpAcceptor::greet(tcp::socket socket) {
  asio::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  auto greeting = std::make_shared<TcpGreeting>(
      loop_, std::move(socket), Handshake::Side::kAcceptor, options_, endpoint_text(peer),
      [weak = weak_from_this()](std::shared_ptr<Link> link, std::optional<ErrorInfo> failed) {
        const auto self = weak.lock();
        if (!self || !self->handler_) return;
        if (self->full_) self->accept_later({});
        if (failed) return self->refused(*failed);
        const AcceptHandler handler = self->handler_;  // may destroy the listener
        handler(make_connection(std::move(link)));
      });
  greetings_.push_back({greeting, Clock::now()});
  greeting->start(Clock::now() + connect_timeout(options_));
}

void TcpAcceptor::forget_closed() {
  std::erase_if(greetings_, [](const Greeted& greeted) { return !greeted.greeting->open(); });
}

void TcpAcceptor::refused(const ErrorInfo& error) { log_trouble("a handshake failed: " + error.message); }

// At most one line a second, however many knock.
void TcpAcceptor::log_trouble(const std::string& what) {
  const auto now = Clock::now();
  if (now - last_log_ < kLogInterval) {
    ++unlogged_;
    return;
  }
  log::warning("comm", "{}: {} ({} more since the last such line)", address_, what, unlogged_);
  last_log_ = now;
  unlogged_ = 0;
}

class TcpListener final : public Listener {
 public:
  explicit TcpListener(LoopPtr loop, std::shared_ptr<TcpAcceptor> acceptor)
      : loop_(std::move(loop)), acceptor_(std::move(acceptor)) {}
  ~TcpListener() override {
    loop_->finish_on_loop([this] { acceptor_->close(); });
  }
  std::string address() const override { return acceptor_->address(); }

 private:
  LoopPtr loop_;
  std::shared_ptr<TcpAcceptor> acceptor_;
};

// ---- connecting

class TcpConnector final : public std::enable_shared_from_this<TcpConnector>, public LoopResident {
 public:
  TcpConnector(LoopPtr loop, const Address& address, const CommOptions& options, ConnectHandler handler)
      : loop_(std::move(loop)), address_(address), options_(options), handler_(std::move(handler)) {}
  ~TcpConnector() { loop_->remove_resident(this); }

  void start();
  void loop_gone() override { close(); }

 private:
  void connect(std::vector<tcp::endpoint> endpoints);
  void greet();
  void close();
  void finish(std::shared_ptr<Link> link, std::optional<ErrorInfo> error);
  void fail(ErrorCode code, const std::string& why);

  LoopPtr loop_;
  Address address_;
  CommOptions options_;
  ConnectHandler handler_;
  Clock::time_point deadline_;
  std::optional<tcp::resolver> resolver_;
  std::optional<tcp::socket> socket_;
  std::unique_ptr<EventLoop::Timer> timer_;
};

void TcpConnector::start() {
  loop_->add_resident(this, std::shared_ptr<LoopResident>(shared_from_this(), this));
  deadline_ = Clock::now() + connect_timeout(options_);
  timer_ = loop_->after(deadline_ - Clock::now(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->fail(ErrorCode::kTimeout, "no answer in time");
  });
  if (const auto endpoint = numeric_endpoint(address_)) return connect({*endpoint});
  resolver_.emplace(loop_->io());
  resolver_->async_resolve(address_.host, std::to_string(address_.port), tcp::resolver::numeric_service,
                           loop_->in_turn([self = shared_from_this()](const asio::error_code& error,
                                                                      const tcp::resolver::results_type& found) {
                             if (!self->handler_) return;
                             if (error) {
                               return self->fail(ErrorCode::kConnection,
                                                 "cannot resolve '" + self->address_.host + "': " + error.message());
                             }
                             std::vector<tcp::endpoint> endpoints;
                             for (const auto& entry : found) endpoints.push_back(entry.endpoint());
                             self->connect(std::move(endpoints));
                           }));
}

void TcpConnector::connect(std::vector<tcp::endpoint> endpoints) {
  for (const tcp::endpoint& endpoint : endpoints) {
    if (auto error = check_open(options_, is_loopback_endpoint(endpoint), to_string(address_))) {
      return finish(nullptr, std::move(error));
    }
  }
  socket_.emplace(loop_->io());
  asio::async_connect(*socket_, std::move(endpoints),
                      loop_->in_turn([self = shared_from_this()](const asio::error_code& error, const tcp::endpoint&) {
                        if (!self->handler_) return;
                        if (error) return self->fail(ErrorCode::kConnection, error.message());
                        self->greet();
                      }));
}

void TcpConnector::greet() {
  timer_.reset();
  auto greeting = std::make_shared<TcpGreeting>(
      loop_, std::move(*socket_), Handshake::Side::kConnector, options_, to_string(address_),
      [self = shared_from_this()](std::shared_ptr<Link> link, std::optional<ErrorInfo> error) {
        self->finish(std::move(link), std::move(error));
      });
  socket_.reset();
  greeting->start(deadline_);
}

void TcpConnector::close() {
  handler_ = nullptr;
  timer_.reset();
  resolver_.reset();
  socket_.reset();
}

void TcpConnector::finish(std::shared_ptr<Link> link, std::optional<ErrorInfo> error) {
  const ConnectHandler handler = std::move(handler_);
  close();
  if (!handler) return;
  if (error) return handler(nullptr, std::move(error));
  handler(make_connection(std::move(link)), std::nullopt);
}

void TcpConnector::fail(ErrorCode code, const std::string& why) {
  finish(nullptr, make_error(code, "cannot connect to " + to_string(address_) + ": " + why));
}

class TcpTransport final : public TransportKind {
 public:
  std::unique_ptr<Listener> listen(const LoopPtr& loop, const Address& address, const CommOptions& options,
                                   AcceptHandler accept) const override {
    auto acceptor = std::make_shared<TcpAcceptor>(loop, options, std::move(accept));
    acceptor->open(address);
    loop->add_resident(acceptor.get(), std::shared_ptr<LoopResident>(acceptor, acceptor.get()));
    loop->post([acceptor] { acceptor->accept(); });
    return std::make_unique<TcpListener>(loop, std::move(acceptor));
  }

  void connect(const LoopPtr& loop, const Address& address, const CommOptions& options,
               ConnectHandler handler) const override {
    std::make_shared<TcpConnector>(loop, address, options, std::move(handler))->start();
  }

  bool is_loopback(const Address& address) const override {
    const auto endpoint = numeric_endpoint(address);
    return endpoint ? is_loopback_endpoint(*endpoint) : address.host == "localhost";
  }
};

}  // namespace

const TransportKind& tcp_transport() {
  static const TcpTransport transport;
  return transport;
}

}  // namespace tegula
