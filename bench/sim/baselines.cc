#include "bench/sim/baselines.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "bench/sim/random.h"
#include "tegula/error.h"

namespace tegula::sim {

using namespace scheduler;

namespace {
constexpr std::size_t kMostHolders = 3;
}

void ListScheduler::apply(Time, Event event, std::vector<Action>& actions) {
  out_ = &actions;
  std::visit([this](auto& what) { on(what); }, event);
  out_ = nullptr;
}

void ListScheduler::settle(Time now, std::vector<Action>& actions) {
  out_ = &actions;
  place(now);
  bind_queued();
  for (auto& [worker, results] : frees_) send(worker, msg::FreeResults{std::move(results)});
  frees_.clear();
  out_ = nullptr;
}

// ---- events ----

void ListScheduler::on(const WorkerJoined& event) {
  const auto number = static_cast<std::uint32_t>(event.worker) - 1;
  if (number != workers_.size()) throw Error(ErrorCode::kInternal, "a worker out of turn");
  Worker worker;
  worker.granted = event.registration.slots_granted;
  worker.ends.resize(event.registration.threads);
  workers_.push_back(std::move(worker));
  send(number, msg::WorkerRegistered{event.worker, 1000});
  touched_.push_back(number);
}

void ListScheduler::on(const WorkerLost&) { throw ValueError("the baselines do not outlive the loss of a worker"); }

void ListScheduler::on(FromWorker& event) {
  const auto worker = static_cast<std::uint32_t>(event.worker) - 1;
  if (const auto* done = std::get_if<msg::TaskFinished>(&event.message)) {
    finished(worker, *done);
  } else if (const auto* returned_task = std::get_if<msg::TaskReturned>(&event.message)) {
    returned(*returned_task);
  } else if (const auto* grant = std::get_if<msg::GrantCredit>(&event.message)) {
    workers_[worker].granted = std::max(workers_[worker].granted, grant->slots);
    touched_.push_back(worker);
  } else if (const auto* failed = std::get_if<msg::TaskFailed>(&event.message)) {
    throw Error(failed->error.code, "a task failed: " + failed->error.message);
  }
}

void ListScheduler::on(FromClient& event) {
  if (auto* submit = std::get_if<msg::Submit>(&event.message)) {
    layers_.insert(layers_.end(), submit->layers.begin(), submit->layers.end());
    if (!submit->wants.empty()) build(submit->wants);
  } else if (const auto* release = std::get_if<msg::ReleaseWants>(&event.message)) {
    for (const msg::WantRange& range : release->wants) {
      for (Task task = offset_[range.layer] + range.begin; task < offset_[range.layer] + range.end; ++task) {
        nodes_[task].wanted = false;
        free_if_unread(task);
      }
    }
  }
}

void ListScheduler::finished(std::uint32_t worker, const msg::TaskFinished& message) {
  const Task task = task_of(message.task);
  Node& node = nodes_[task];
  if (node.attempt != message.attempt || node.done) {
    ++counts_.anomalies;
    return;
  }
  --workers_[worker].bound;
  node.done = true;
  node.nbytes = message.nbytes.front();
  node.holders = {worker};
  const Time lasted(static_cast<std::int64_t>(message.compute_ns));
  mean_duration_ = mean_duration_ == Time{} ? lasted : mean_duration_ + (lasted - mean_duration_) / 8;
  for_each_producer_of(task, [&](Task producer) {
    --nodes_[producer].readers;
    free_if_unread(producer);
  });
  for_each_consumer_of(task, [&](Task consumer) {
    if (--nodes_[consumer].missing == 0) ready_.insert(key_of(consumer));
  });
  if (node.wanted) {
    const std::uint32_t layer = layer_of_task(task);
    out_->push_back(SendToClient{
        ConnectionId{1},
        msg::ResultReady{layer, 0, task - offset_[layer], {message.task, 0}, node.nbytes, {id_of_worker(worker)}}});
  }
  free_if_unread(task);
  touched_.push_back(worker);
}

void ListScheduler::returned(const msg::TaskReturned& message) {
  const Task task = task_of(message.task);
  Node& node = nodes_[task];
  if (node.attempt != message.attempt || node.worker == kNone || !message.missing.empty()) {
    ++counts_.anomalies;
    return;
  }
  ++counts_.returned;
  --workers_[node.worker].bound;
  node.worker = kNone;
  ready_.insert(key_of(task));
}

void ListScheduler::free_if_unread(Task task) {
  Node& node = nodes_[task];
  if (!node.done || node.readers != 0 || node.wanted) return;
  for (const std::uint32_t worker : node.holders) frees_[worker].push_back({id_of(task), 0});
  node.holders.clear();
}

// ---- the graph ----

void ListScheduler::build(const std::vector<msg::WantRange>& wants) {
  offset_ = {0};
  for (const auto& layer : layers_) offset_.push_back(offset_.back() + layer->tasks());
  nodes_.resize(offset_.back());
  rules_.resize(layers_.size());
  readers_.resize(layers_.size());
  for (std::uint32_t l = 0; l < layers_.size(); ++l) {
    for (std::size_t rule = 0; rule < layers_[l]->inputs.size(); ++rule) {
      rules_[l].emplace_back(*layers_[l], rule);
      readers_[layers_[l]->inputs[rule].layer].push_back({l, ConsumerTable(*layers_[l], rule)});
    }
  }
  for (Task task = 0; task < nodes_.size(); ++task) {
    for_each_producer_of(task, [&](Task producer) {
      ++nodes_[task].missing;
      ++nodes_[producer].readers;
    });
  }
  for (const msg::WantRange& range : wants) {
    for (Task task = offset_[range.layer] + range.begin; task < offset_[range.layer] + range.end; ++task) {
      nodes_[task].wanted = true;
    }
  }
  order_depth_first(wants);
  rank_tasks();
  for (Task task = 0; task < nodes_.size(); ++task) {
    if (nodes_[task].missing == 0) ready_.insert(key_of(task));
  }
}

void ListScheduler::order_depth_first(const std::vector<msg::WantRange>& wants) {
  struct Frame {
    Task task;
    std::size_t rule = 0;
    std::uint64_t k = 0;
  };
  std::vector<bool> seen(nodes_.size());
  std::vector<Frame> stack;
  std::int64_t next = 0;
  const auto push = [&](Task task) {
    if (seen[task]) return;
    seen[task] = true;
    stack.push_back({task});
  };
  for (const msg::WantRange& range : wants) {
    for (std::uint32_t index = range.begin; index < range.end; ++index) {
      push(offset_[range.layer] + index);
      while (!stack.empty()) {
        Frame& frame = stack.back();
        const std::uint32_t l = layer_of_task(frame.task);
        if (frame.rule == rules_[l].size()) {
          nodes_[frame.task].order = next++;
          stack.pop_back();
          continue;
        }
        const RuleView view = rules_[l][frame.rule].view();
        const std::uint32_t i = frame.task - offset_[l];
        if (frame.k == view.count(i)) {
          ++frame.rule;
          frame.k = 0;
          continue;
        }
        push(offset_[layers_[l]->inputs[frame.rule].layer] + view.at(i, frame.k++));
      }
    }
  }
}

std::uint32_t ListScheduler::layer_of_task(Task task) const {
  return static_cast<std::uint32_t>(std::upper_bound(offset_.begin(), offset_.end(), task) - offset_.begin() - 1);
}

TaskId ListScheduler::id_of(Task task) const {
  const std::uint32_t layer = layer_of_task(task);
  return make_task_id(static_cast<LayerId>(layer + 1), task - offset_[layer]);
}

Time ListScheduler::duration(Task task, std::uint32_t worker) const {
  const std::uint32_t layer = layer_of_task(task);
  return scenario_.durations.of(layer, task - offset_[layer], worker);
}

// No rule of a pattern names a producer twice.
template <typename Visit>
void ListScheduler::for_each_producer_of(Task task, Visit&& visit) const {
  const std::uint32_t layer = layer_of_task(task);
  for (std::size_t rule = 0; rule < rules_[layer].size(); ++rule) {
    const Task first = offset_[layers_[layer]->inputs[rule].layer];
    rules_[layer][rule].view().for_each(task - offset_[layer],
                                        [&](std::uint32_t producer) { visit(first + producer); });
  }
}

template <typename Visit>
void ListScheduler::for_each_consumer_of(Task task, Visit&& visit) const {
  const std::uint32_t layer = layer_of_task(task);
  for (const Reader& reader : readers_[layer]) {
    reader.consumers.for_each(task - offset_[layer],
                              [&](std::uint32_t consumer) { visit(offset_[reader.layer] + consumer); });
  }
}

// ---- decisions ----

Time ListScheduler::transfer_time(Task task, std::uint32_t worker) const {
  Time time{};
  for_each_producer_of(task, [&](Task producer) {
    const Node& input = nodes_[producer];
    if (std::find(input.holders.begin(), input.holders.end(), worker) != input.holders.end()) return;
    if (time == Time{}) time = 2 * network_.latency();  // the question and the first byte
    time += network_.alone(input.holders.front(), worker, input.nbytes) - network_.latency();
  });
  return time;
}

std::vector<std::uint32_t> ListScheduler::holders_of_inputs(Task task) const {
  std::vector<std::uint32_t> workers;
  for_each_producer_of(task, [&](Task producer) {
    const auto& holders = nodes_[producer].holders;
    workers.insert(workers.end(), holders.begin(), holders.end());
  });
  std::sort(workers.begin(), workers.end());
  workers.erase(std::unique(workers.begin(), workers.end()), workers.end());
  return workers;
}

void ListScheduler::bind(Task task, std::uint32_t number) {
  Worker& worker = workers_[number];
  Node& node = nodes_[task];
  ++worker.spent;
  ++worker.bound;
  ++counts_.assignments;
  node.worker = number;
  node.attempt = static_cast<AttemptId>(++last_attempt_);
  const std::uint32_t layer = layer_of_task(task);
  if (worker.defined.size() <= layer) worker.defined.resize(layers_.size());
  if (!worker.defined[layer]) {
    worker.defined[layer] = true;
    auto description = std::make_shared<Layer>(*layers_[layer]);
    for (InputRule& input : description->inputs) ++input.layer;  // to LayerId, which counts from 1
    send(number, msg::DefineLayer{static_cast<LayerId>(layer + 1), std::move(description), {}});
  }
  const std::int64_t priority = std::get<0>(key_of(task)) != 0 ? node.rank : node.order;
  msg::Assign assign{node.attempt, id_of(task), priority, {}, {}};
  for_each_producer_of(task, [&](Task producer) {
    const auto& holders = nodes_[producer].holders;
    if (std::find(holders.begin(), holders.end(), number) != holders.end()) return;
    for (std::size_t i = 0; i < std::min(holders.size(), kMostHolders); ++i) {
      if (worker.introduced.insert(holders[i]).second) {
        send(number, msg::WorkerAddress{id_of_worker(holders[i]), "sim://"});
      }
      assign.holders.push_back({{id_of(producer), 0}, id_of_worker(holders[i])});
    }
  });
  send(number, std::move(assign));
}

void ListScheduler::enqueue(Task task, std::uint32_t worker) {
  workers_[worker].queue.insert(key_of(task));
  touched_.push_back(worker);
}

void ListScheduler::bind_queued() {
  for (const std::uint32_t number : touched_) {
    Worker& worker = workers_[number];
    while (worker.credit() > 0 && !worker.queue.empty()) {
      const Task task = std::get<Task>(*worker.queue.begin());
      worker.queue.erase(worker.queue.begin());
      bind(task, number);
    }
  }
  touched_.clear();
}

void ListScheduler::send(std::uint32_t worker, msg::Message message) {
  out_->push_back(SendToWorker{id_of_worker(worker), std::move(message)});
}

// ---- the four ----

void RandomPlacement::place(Time) {
  if (workers_.empty()) return;
  for (const Key& key : ready_) {
    enqueue(std::get<Task>(key), static_cast<std::uint32_t>(hash_of(scenario_.seed, ++draws_, 3) % workers_.size()));
  }
  ready_.clear();
}

// To a holder of an input, in turn otherwise, and in the order in which tasks became ready.
void EagerAssignment::place(Time) {
  if (workers_.empty()) return;
  for (const Key& key : ready_) {
    const Task task = std::get<Task>(key);
    const std::vector<std::uint32_t> holders = holders_of_inputs(task);
    const auto less = [&](std::uint32_t a, std::uint32_t b) { return workers_[a].placed < workers_[b].placed; };
    std::uint32_t worker = static_cast<std::uint32_t>(arrivals_ % static_cast<std::int64_t>(workers_.size()));
    if (!holders.empty()) worker = *std::min_element(holders.begin(), holders.end(), less);
    nodes_[task].rank = ++arrivals_;
    ++workers_[worker].placed;
    enqueue(task, worker);
  }
  ready_.clear();
}

void GreedyList::place(Time) {
  std::set<std::pair<std::int64_t, std::uint32_t>> open;  // most credit first
  const auto rank = [&](std::uint32_t w) { return std::pair(-static_cast<std::int64_t>(workers_[w].credit()), w); };
  for (std::uint32_t w = 0; w < workers_.size(); ++w) {
    if (workers_[w].credit() > 0) open.insert(rank(w));
  }
  while (!ready_.empty() && !open.empty()) {
    const Task task = std::get<Task>(*ready_.begin());
    std::vector<std::uint32_t> candidates = holders_of_inputs(task);
    candidates.push_back(open.begin()->second);
    std::uint32_t best = kNone;
    std::tuple<Time, Time, std::int64_t> best_cost;
    for (const std::uint32_t w : candidates) {
      const Worker& worker = workers_[w];
      if (worker.credit() == 0) continue;
      const auto threads = static_cast<std::uint32_t>(worker.ends.size());
      const Time wait = worker.bound < threads ? Time{} : mean_duration_ * (worker.bound - threads + 1) / threads;
      const Time transfer = transfer_time(task, w);
      const std::tuple cost(std::max(wait, transfer), transfer, rank(w).first);
      if (best == kNone || cost < best_cost) {
        best = w;
        best_cost = cost;
      }
    }
    ready_.erase(ready_.begin());
    open.erase(rank(best));
    bind(task, best);
    if (workers_[best].credit() > 0) open.insert(rank(best));
  }
}

void ClairvoyantCriticalPath::rank_tasks() {
  // Upwards: a task's rank is its own duration and the longest of those after it. Negative, so that more comes first.
  for (Task task = static_cast<Task>(nodes_.size()); task-- > 0;) {
    Node& node = nodes_[task];
    node.rank -= scenario_.durations.of(layer_of_task(task), index_of_task(task)).count();
    for_each_producer_of(task,
                         [&](Task producer) { nodes_[producer].rank = std::min(nodes_[producer].rank, node.rank); });
  }
}

void ClairvoyantCriticalPath::place(Time now) {
  constexpr std::size_t kEarliest = 8;
  if (workers_.empty() || ready_.empty()) return;
  std::set<std::pair<Time, std::uint32_t>> by_end;  // of the thread that is free first
  const auto free_at = [&](std::uint32_t w) {
    return std::pair(std::max(now, *std::min_element(workers_[w].ends.begin(), workers_[w].ends.end())), w);
  };
  for (std::uint32_t w = 0; w < workers_.size(); ++w) by_end.insert(free_at(w));
  for (const Key& key : ready_) {
    const Task task = std::get<Task>(key);
    std::vector<std::uint32_t> candidates = holders_of_inputs(task);
    for (const auto& [end, w] : by_end) {
      candidates.push_back(w);
      if (candidates.size() >= kEarliest) break;
    }
    std::uint32_t best = kNone;
    Time best_end{};
    for (const std::uint32_t w : candidates) {
      const Time end = std::max(free_at(w).first, now + transfer_time(task, w)) + duration(task, w);
      if (best == kNone || end < best_end) {
        best = w;
        best_end = end;
      }
    }
    by_end.erase(free_at(best));
    *std::min_element(workers_[best].ends.begin(), workers_[best].ends.end()) = best_end;
    by_end.insert(free_at(best));
    enqueue(task, best);
  }
  ready_.clear();
}

}  // namespace tegula::sim
