// Client: where it connects to, and who closes it.
#include <errno.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "client/make_loop.h"
#include "client/open_session.h"
#include "comm/options.h"
#include "comm/transport.h"
#include "tegula/client.h"

namespace tegula {

namespace client {

namespace {

bool is_file(std::string_view address) {
  return address.find("://") == std::string_view::npos &&
         (address.find('/') != std::string_view::npos || address.ends_with(".json"));
}

std::string default_name() { return fmt::format("{}-{}", program_invocation_short_name, getpid()); }

// Closing handles, oldest first.
struct Registry {
  std::mutex mutex;
  std::vector<std::weak_ptr<detail::ClientImpl>> handles;
};
// Never destroyed: clients may be closed while the program ends.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

}  // namespace

std::shared_ptr<EventLoop> make_loop(const std::string& name) {
  std::shared_ptr<EventLoop> loop(new EventLoop, [](EventLoop* ended) {
    if (ended->in_loop()) {
      std::thread([ended] { delete ended; }).detach();
    } else {
      delete ended;
    }
  });
  loop->start(name);
  return loop;
}

SessionOptions session_options(std::string_view address, const ClientOptions& options, const Config& config) {
  SessionOptions session;
  session.comm = comm_options(config);
  session.comm.connect_timeout = options.connect_timeout;
  session.comm.insecure = session.comm.insecure || options.insecure;
  session.comm.name = !options.name.empty() ? options.name : config.string("client.name");
  if (session.comm.name.empty()) session.comm.name = default_name();
  if (!(options.share > 0 && options.share <= 1e6)) {
    throw ValueError(fmt::format("a client's share must be more than 0 and at most 1e6, not {}", options.share));
  }
  session.share = options.share;
  session.reattach_time = config.duration("client.reattach-time");
  session.fetch_bytes = config.bytes("client.fetch-bytes-in-flight");
  session.comm.allocator = BufferPool(2 * session.fetch_bytes).allocator();

  std::string token = options.token;
  if (is_file(address)) {
    session.scheduler_file = address;
    const SchedulerFile file = read_scheduler_file(session.scheduler_file);
    session.address = file.address;
    session.comm.incarnation = file.incarnation;
    if (token.empty()) token = file.token;
  } else {
    const Address parsed = parse_address(address, kDefaultSchedulerPort);
    session.address = to_string(parsed);
    // Within this process nobody is asked for a token; the environment's is for daemons.
    if (token.empty() && parsed.scheme != "inproc") token = token_from_environment();
  }
  session.comm.token = std::move(token);
  return session;
}

std::shared_ptr<detail::ClientImpl> closing_handle(std::shared_ptr<detail::ClientImpl> session) {
  detail::ClientImpl* const inner = session.get();
  std::shared_ptr<detail::ClientImpl> handle(inner,
                                             [session = std::move(session)](detail::ClientImpl*) { session->close(); });
  std::lock_guard lock(registry().mutex);
  auto& handles = registry().handles;
  std::erase_if(handles, [](const auto& weak) { return weak.expired(); });
  handles.push_back(handle);
  return handle;
}

std::shared_ptr<detail::ClientImpl> current_handle() {
  std::vector<std::shared_ptr<detail::ClientImpl>> open;  // let go of without the lock: one may be closed by that
  {
    std::lock_guard lock(registry().mutex);
    for (const auto& weak : registry().handles) {
      if (auto handle = weak.lock()) open.push_back(std::move(handle));
    }
  }
  for (auto handle = open.rbegin(); handle != open.rend(); ++handle) {
    if (!(*handle)->closed()) return *handle;
  }
  return nullptr;
}

}  // namespace client

Client::Client(std::string_view address, const ClientOptions& options)
    : impl_(client::closing_handle(client::open_session(
          client::make_loop("tegula-client"),
          client::session_options(address, options, Config::load(options.config_file)), nullptr))) {}

void Client::close() { impl_->close(); }
bool Client::closed() const { return impl_->closed(); }
std::string Client::scheduler_address() const { return impl_->scheduler_address(); }
ClusterStatus Client::status() { return impl_->status(std::chrono::seconds(10)); }

void Client::wait_for_workers(unsigned workers, std::chrono::nanoseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout;
  auto pause = std::chrono::milliseconds(2);
  while (true) {
    const auto left = deadline - Clock::now();
    const std::size_t count =
        impl_->status(std::max<std::chrono::nanoseconds>(left, std::chrono::seconds(1))).workers.size();
    if (count >= workers) return;
    if (Clock::now() >= deadline) {
      throw TimeoutError(fmt::format("waited {:.1f} s for {} workers; the scheduler at {} has {}",
                                     std::chrono::duration<double>(timeout).count(), workers, scheduler_address(),
                                     count));
    }
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(pause, deadline - Clock::now()));
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
}

void Client::on_progress(std::function<void(const ProgressReport&)> report) { impl_->on_progress(std::move(report)); }

}  // namespace tegula
