#include "client/worker_pool.h"

#include <fmt/core.h>

#include <string>
#include <utility>
#include <variant>

#include "src/log.h"
#include "tegula/error.h"

namespace tegula::client {

void WorkerPool::set_address(WorkerId worker, std::string address) {
  Link& link = links_[worker];
  if (link.address == address) return;
  fail(worker, "the worker has another address now");
  links_[worker].address = std::move(address);
}

const std::string& WorkerPool::address(WorkerId worker) const {
  static const std::string kNone;
  const auto found = links_.find(worker);
  return found == links_.end() ? kNone : found->second.address;
}

void WorkerPool::fetch(WorkerId worker, std::vector<msg::Fetch::Item> items, Handler handler) {
  const auto found = links_.find(worker);
  if (closed_ || found == links_.end() || found->second.address.empty()) {
    loop_.post([handler = std::move(handler)] { handler(nullptr, "the worker's address is not known"); });
    return;
  }
  Link& link = found->second;
  Request request{++last_request_, std::move(items), std::move(handler)};
  if (link.connection) return send(link, std::move(request));
  link.waiting.push_back(std::move(request));
  if (std::exchange(link.connecting, true)) return;
  try {
    connect(loop_, link.address, comm_,
            [weak = weak_from_this(), worker, address = link.address](ConnectionPtr connection,
                                                                      std::optional<ErrorInfo> error) {
              if (auto self = weak.lock()) self->connected(worker, address, std::move(connection), std::move(error));
            });
  } catch (const Error& error) {  // a malformed address: workers give their own
    loop_.post([weak = weak_from_this(), worker, reason = std::string(error.what())] {
      if (auto self = weak.lock()) self->fail(worker, reason);
    });
  }
}

void WorkerPool::connected(WorkerId worker, const std::string& address, ConnectionPtr connection,
                           std::optional<ErrorInfo> error) {
  const auto found = links_.find(worker);
  if (closed_ || found == links_.end() || found->second.address != address) {
    if (connection) connection->close();
    return;
  }
  found->second.connecting = false;
  if (error) return fail(worker, error->message);
  Link& link = found->second;
  link.connection = std::move(connection);
  link.connection->on_messages = [weak = weak_from_this(), worker](std::vector<msg::Message> messages) {
    if (auto self = weak.lock()) self->receive(worker, messages);
  };
  link.connection->on_closed = [weak = weak_from_this(), worker](const std::string& reason) {
    if (auto self = weak.lock()) self->fail(worker, reason);
  };
  for (Request& request : std::exchange(link.waiting, {})) send(link, std::move(request));
}

void WorkerPool::send(Link& link, Request request) {
  link.requests.emplace(request.number, std::move(request.handler));
  link.connection->send(msg::Fetch{request.number, std::move(request.items)});
}

void WorkerPool::receive(WorkerId worker, std::vector<msg::Message>& messages) {
  for (msg::Message& message : messages) {
    const auto found = links_.find(worker);
    if (found == links_.end()) return;
    auto* reply = std::get_if<msg::FetchReply>(&message);
    const auto request = reply ? found->second.requests.find(reply->request) : found->second.requests.end();
    if (request == found->second.requests.end()) {
      log::warning("client", "the worker at {} sent an unexpected {}", found->second.address, msg::name_of(message));
      return fail(worker, "the worker sent what nobody asked for");
    }
    const Handler handler = std::move(request->second);
    found->second.requests.erase(request);
    handler(reply, "");
  }
}

void WorkerPool::fail(WorkerId worker, const std::string& reason) {
  const auto found = links_.find(worker);
  if (found != links_.end()) fail(found->second, reason);
}

// Whoever is told may ask anew, on this link too while links_ has it.
void WorkerPool::fail(Link& link, const std::string& reason) {
  link.connecting = false;
  if (link.connection) {
    link.connection->close();
    loop_.post([connection = std::exchange(link.connection, nullptr)] {});  // a handler of it may be what runs now
  }
  auto waiting = std::exchange(link.waiting, {});
  auto requests = std::exchange(link.requests, {});
  const std::string why = fmt::format("{}: {}", link.address, reason);
  for (const Request& request : waiting) request.handler(nullptr, why);
  for (const auto& [number, handler] : requests) handler(nullptr, why);
}

void WorkerPool::forget(WorkerId worker) {
  auto link = links_.extract(worker);
  if (!link.empty()) fail(link.mapped(), "the scheduler has lost this worker");
}

void WorkerPool::begin_life(Incarnation incarnation) {
  comm_.incarnation = incarnation;
  drop_all("the scheduler was started again");
}

void WorkerPool::close() {
  closed_ = true;
  drop_all("the client is closed");
}

void WorkerPool::drop_all(const std::string& reason) {
  auto links = std::exchange(links_, {});
  for (auto& [worker, link] : links) fail(link, reason);
}

}  // namespace tegula::client
