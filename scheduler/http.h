// What people and Prometheus look at: /health (JSON) and /metrics (text exposition) over HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/event_loop.h"
#include "scheduler/server.h"

namespace tegula::scheduler {

class HttpServer {
 public:
  // Serves on threads of its own; the numbers are copied on `loop` and put into words off it. Throws ConnectionError
  // naming the address (in use, not of this machine). `loop` and `server` must outlive it.
  HttpServer(EventLoop& loop, const SchedulerServer& server, const std::string& host, std::uint16_t port);
  ~HttpServer();  // on any thread; requests that wait for the loop are answered with 503
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  const std::string& address() const;  // "http://127.0.0.1:41234"

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string health_json(const Snapshot& snapshot);
std::string metrics_text(const Snapshot& snapshot);

}  // namespace tegula::scheduler
