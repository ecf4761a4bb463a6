#include "scheduler/http.h"

#include <fmt/core.h>
#include <httplib.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace tegula::scheduler {

namespace {

constexpr auto kPatience = std::chrono::seconds(5);

// Carries snapshots from the loop to request threads; outlives either side.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  const SchedulerServer* server = nullptr;  // null once the HTTP server ends
};

std::optional<Snapshot> take_snapshot(EventLoop& loop, const std::shared_ptr<Gate>& gate) {
  auto result = std::make_shared<std::optional<Snapshot>>();
  loop.post([gate, result] {
    std::lock_guard lock(gate->mutex);
    if (gate->server == nullptr) return;
    *result = gate->server->snapshot();
    gate->changed.notify_all();
  });
  std::unique_lock lock(gate->mutex);
  gate->changed.wait_for(lock, kPatience, [&] { return result->has_value() || gate->server == nullptr; });
  return *result;
}

}  // namespace

struct HttpServer::Impl {
  httplib::Server http;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
  std::string address;
  std::thread thread;

  // Answers GET `path` with what `text` makes of a snapshot.
  void serve(EventLoop& loop, const char* path, const char* type, std::string (*text)(const Snapshot&)) {
    http.Get(path, [&loop, gate = gate, type, text](const httplib::Request&, httplib::Response& response) {
      if (const auto snapshot = take_snapshot(loop, gate)) {
        response.set_content(text(*snapshot), type);
      } else {
        response.status = 503;
        response.set_content("the scheduler does not answer\n", "text/plain");
      }
    });
  }
};

HttpServer::HttpServer(EventLoop& loop, const SchedulerServer& server, const std::string& host, std::uint16_t port)
    : impl_(std::make_unique<Impl>()) {
  impl_->gate->server = &server;
  httplib::Server& http = impl_->http;
  // Not the default, which lets two processes share a port without a word.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  http.new_task_queue = [] { return new httplib::ThreadPool(2); };
  http.set_payload_max_length(4096);
  http.set_keep_alive_timeout(1);
  impl_->serve(loop, "/health", "application/json", &health_json);
  impl_->serve(loop, "/metrics", "text/plain; version=0.0.4; charset=utf-8", &metrics_text);

  const bool v6 = host.find(':') != std::string::npos;
  const std::string shown_host = v6 ? "[" + host + "]" : host;
  int bound = port;
  if (port == 0) {
    bound = http.bind_to_any_port(host);
  } else if (!http.bind_to_port(host, port)) {
    bound = -1;
  }
  if (bound <= 0) {
    throw ConnectionError(fmt::format(
        "cannot listen on http://{}:{}: the port is in use or the address is not of this machine", shown_host, port));
  }
  impl_->address = fmt::format("http://{}:{}", shown_host, bound);
  impl_->thread = std::thread([&http] { http.listen_after_bind(); });
}

HttpServer::~HttpServer() {
  {
    std::lock_guard lock(impl_->gate->mutex);
    impl_->gate->server = nullptr;
    impl_->gate->changed.notify_all();
  }
  // stop() does nothing to a server that has not begun yet.
  while (!impl_->http.is_running()) std::this_thread::yield();
  impl_->http.stop();
  impl_->thread.join();
}

const std::string& HttpServer::address() const { return impl_->address; }

}  // namespace tegula::scheduler
