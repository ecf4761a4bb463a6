// Clients that bring their cluster with them.
#include <memory>
#include <mutex>
#include <utility>

#include "client/local/in_process.h"
#include "client/make_loop.h"
#include "client/open_session.h"
#include "tegula/client.h"
#include "tegula/local_cluster.h"

namespace tegula {

namespace {

std::shared_ptr<detail::ClientImpl> embedded(const ClientOptions& options) {
  const Config config = Config::load(options.config_file);
  auto loop = client::make_loop("tegula-embedded");
  client::InProcessOptions cluster_options;
  cluster_options.threads_per_worker = options.threads;
  auto cluster = std::make_shared<client::InProcessCluster>(loop, config, cluster_options);
  client::SessionOptions session = client::session_options(cluster->address(), options, config);
  session.comm.token.clear();
  return client::closing_handle(client::open_session(std::move(loop), std::move(session), std::move(cluster)));
}

ClientOptions with_token(ClientOptions options, const std::string& token) {
  if (options.token.empty()) options.token = token;
  return options;
}

}  // namespace

Client::Client() : Client(ClientOptions{}) {}
Client::Client(const ClientOptions& options) : impl_(embedded(options)) {}
Client::Client(const LocalCluster& cluster, const ClientOptions& options)
    : Client(cluster.scheduler_address(), with_token(options, cluster.token())) {}

Client Client::current() {
  if (auto handle = client::current_handle()) return Client(std::move(handle));
  static std::mutex mutex;
  static std::shared_ptr<detail::ClientImpl> lasting;  // closed when the program ends
  std::lock_guard lock(mutex);
  if (!lasting || lasting->closed()) lasting = embedded({});
  return Client(lasting);
}

}  // namespace tegula
