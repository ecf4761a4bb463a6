// What operators ask and order, by a Client.
#include <nlohmann/json.hpp>
#include <optional>

#include "client/session.h"
#include "comm/messages.h"
#include "tegula/client.h"

namespace tegula {

std::string Client::why(const std::string& key) {
  const std::string answer = impl_->ask(msg::QueryKind::kWhy, key, std::chrono::seconds(10));
  return nlohmann::json::parse(answer).at("why").get<std::string>();
}

void Client::replicate(const std::string& key, unsigned workers) {
  impl_->command(msg::CommandKind::kReplicate, key, workers, std::nullopt);
}

void Client::rebalance() { impl_->command(msg::CommandKind::kRebalance, "", 0, std::nullopt); }

void Client::retire_workers(const std::vector<std::string>& workers) {
  for (const std::string& worker : workers) impl_->command(msg::CommandKind::kRetire, worker, 0, std::nullopt);
}

}  // namespace tegula
