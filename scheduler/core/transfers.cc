// How long a task's inputs would be on their way to a worker. Each pair of workers has its own bandwidth once it has
// moved something; until then what is known of the two, else of all, else what the configuration assumes.
//
// What is on its way to the worker for another of its tasks is counted again. Taken for free, it draws tasks to workers
// that have begun to fetch a neighbourhood and away from who holds it: stencils took half as long again.
#include <algorithm>

#include "scheduler/core/core.h"

namespace tegula::scheduler {
namespace {

constexpr std::uint64_t kNotable = 64u << 10;  // bytes below which only latency counts
constexpr std::size_t kMostPeers = 256;        // of a worker, whose links are told apart
constexpr std::size_t kMostHolders = 4;        // of a value that are compared
constexpr std::size_t kMostReports = 64;       // of a heartbeat

}  // namespace

double Core::assumed_latency() { return kAssumedLatencyNs * 1e-9; }

std::uint64_t Core::bytes_of_latency() const {
  const double ns_per_byte = link_.knows_bandwidth() ? link_.ns_per_byte() : 1e9 / config_.assumed_bandwidth;
  return static_cast<std::uint64_t>(kAssumedLatencyNs / ns_per_byte) + 1;
}

void Core::observe_transfers(Worker& to, const std::vector<msg::Transfers>& reports) {
  for (std::size_t i = 0; i < std::min(reports.size(), kMostReports); ++i) {
    const msg::Transfers& report = reports[i];
    Worker* const from = find_worker(report.from);
    if (from == nullptr || from == &to) continue;
    link_.observe(report);
    to.link_in.observe(report);
    from->link_out.observe(report);
    if (to.link_from.size() >= kMostPeers && !to.link_from.contains(from->id)) to.link_from.erase(to.link_from.begin());
    to.link_from[from->id].observe(report);
  }
}

double Core::seconds_between(const Worker& from, const Worker& to, std::uint64_t bytes) const {
  const auto pair = to.link_from.find(from.id);
  const LinkCost* const own = pair == to.link_from.end() ? nullptr : &pair->second;
  double ns = kAssumedLatencyNs;
  if (own != nullptr && own->knows_latency()) {
    ns = own->latency_ns();
  } else if (link_.knows_latency()) {
    ns = link_.latency_ns();
  }
  if (bytes < kNotable) return ns * 1e-9;
  double ns_per_byte = 1e9 / config_.assumed_bandwidth;
  if (own != nullptr && own->knows_bandwidth()) {
    ns_per_byte = own->ns_per_byte();
  } else if (to.link_in.knows_bandwidth() && from.link_out.knows_bandwidth()) {
    ns_per_byte = std::max(to.link_in.ns_per_byte(), from.link_out.ns_per_byte());
  } else if (link_.knows_bandwidth()) {
    ns_per_byte = link_.ns_per_byte();
  }
  return (ns + ns_per_byte * static_cast<double>(bytes)) * 1e-9;
}

double Core::seconds_to_fetch(const Task& task, const Worker& to) const {
  const LayerRecord& layer = layers_.at(layer_of(task.id));
  double seconds = 0;
  for (const LayerInput& input : layer.inputs) {
    const LayerRecord& producers = layers_.at(input.layer);
    input.rule.view().for_each(index_of(task.id), [&](std::uint32_t producer) {
      const Slot slot = producers.slot(producer);
      if (slot == kNoSlot) return;
      const Task& made = tasks_[slot];
      const Output& output = made.output(input.output);
      const auto holders = output.replicas.span();
      if (output.replicas.contains(to.slot)) return;
      double fastest = holders.empty() ? kAssumedLatencyNs * 1e-9 : 1e9;
      for (std::size_t i = 0; i < std::min(holders.size(), kMostHolders); ++i) {
        fastest = std::min(fastest, seconds_between(worker_at(holders[i]), to, output.nbytes));
      }
      seconds += fastest;
    });
  }
  return seconds + detour(task, to);
}

}  // namespace tegula::scheduler
