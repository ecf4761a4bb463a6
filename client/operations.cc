// What operators ask and order, by a Client.
#include <nlohmann/json.hpp>
#include <optional>

#include "client/session.h"
#include "comm/messages.h"
#include "src/write_file.h"
#include "tegula/client.h"

namespace tegula {

namespace {

using Json = nlohmann::json;

constexpr std::chrono::seconds kPatience(10);
constexpr std::chrono::seconds kDumpPatience(60);

Json ask(detail::ClientImpl& client, msg::QueryKind kind, const std::string& subject) {
  return Json::parse(client.ask(kind, subject, kPatience));
}

void order(detail::ClientImpl& client, msg::CommandKind kind, const std::string& subject, std::uint64_t count = 0) {
  client.command({0, kind, subject, count, {}}, std::nullopt);
}

}  // namespace

std::string Client::why(const std::string& key) {
  return ask(*impl_, msg::QueryKind::kWhy, key).at("why").get<std::string>();
}

TaskStatus Client::task(const std::string& key) {
  const Json json = ask(*impl_, msg::QueryKind::kTask, key);
  TaskStatus status;
  json.at("key").get_to(status.key);
  json.at("kernel").get_to(status.kernel);
  json.at("state").get_to(status.state);
  json.at("why").get_to(status.why);
  status.worker = json.value("worker", "");
  for (const Json& input : json.at("inputs")) {
    status.inputs.push_back({input.at("key"), input.at("state"), input.at("available")});
  }
  for (const Json& output : json.at("outputs")) {
    status.outputs.push_back({output.at("nbytes"), output.at("wants"), output.at("readers"), output.at("who_has")});
  }
  if (json.contains("error")) json.at("error").at("message").get_to(status.error);
  return status;
}

std::vector<TaskTransition> Client::story(const std::string& key) {
  const Json json = ask(*impl_, msg::QueryKind::kStory, key);
  const auto now = json.at("now_s").get<double>();
  std::vector<TaskTransition> story;
  for (const Json& entry : json.at("story")) {
    story.push_back({now - entry.at("time_s").get<double>(), entry.at("from"), entry.at("to"),
                     entry.value("worker", ""), entry.value("attempt", std::uint64_t{0})});
  }
  return story;
}

WorkerContents Client::worker(const std::string& worker) {
  const Json json = ask(*impl_, msg::QueryKind::kWorker, worker);
  WorkerContents contents;
  for (const Json& task : json.at("bound")) contents.processing.push_back(task.at("key"));
  for (const Json& held : json.at("has_what")) {
    contents.has_what.push_back({held.at("key"), held.at("output"), held.at("nbytes")});
  }
  json.at("results").get_to(contents.results);
  json.at("result_bytes").get_to(contents.nbytes);
  json.at("occupancy_s").get_to(contents.occupancy);
  return contents;
}

void Client::dump(const std::string& path) { write_file(path, impl_->ask(msg::QueryKind::kDump, "", kDumpPatience)); }

void Client::cancel(const std::string& key) { order(*impl_, msg::CommandKind::kCancelTask, key); }

void Client::replicate(const std::string& key, unsigned workers) {
  if (key.empty()) throw ValueError("replicate needs a key");
  order(*impl_, msg::CommandKind::kReplicate, key, workers);
}

void Client::rebalance() { order(*impl_, msg::CommandKind::kRebalance, ""); }

void Client::retire_workers(const std::vector<std::string>& workers) {
  for (const std::string& worker : workers) order(*impl_, msg::CommandKind::kRetire, worker);
}

}  // namespace tegula
