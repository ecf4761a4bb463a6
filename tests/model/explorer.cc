#include "tests/model/explorer.h"

#include <algorithm>
#include <exception>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace tegula::model {
namespace {

using ScenarioPtr = std::shared_ptr<const Scenario>;

bool at_end(const std::vector<Choice>& choices) {
  return std::all_of(choices.begin(), choices.end(), [](const Choice& choice) { return choice.optional; });
}

// What is wrong after a step; nothing: "".
template <typename Step>
std::string wrong_with(Step&& step) {
  try {
    step();
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

Counterexample tell(const ScenarioPtr& scenario, const std::vector<Choice>& run, std::string what) {
  Counterexample found{std::move(what), {}, {}};
  World world(scenario);
  for (const Choice& choice : run) {
    found.story.push_back(world.describe(choice));
    found.state = world.describe();
    try {
      world.apply(choice);
    } catch (const std::exception&) {
      return found;
    }
  }
  found.state = world.describe();
  return found;
}

// A hash of all that may happen next, and where it leads.
std::uint64_t future_of(const World& world) {
  CanonicalHash hash;
  hash.rename();
  const std::vector<Choice> choices = world.choices();
  hash.unordered(choices, [&](const Choice& choice) {
    hash.add(choice.kind);
    hash.add(choice.optional);
    hash.add(choice.worker);
    hash.add(choice.other);
    World next = world;
    const std::string wrong = wrong_with([&] { next.apply(choice); });
    hash.add(wrong.empty() ? next.hash() : 0);
  });
  return hash.value();
}

class DepthFirst {
 public:
  DepthFirst(ScenarioPtr scenario, bool doubt_hashes) : scenario_(std::move(scenario)), doubt_hashes_(doubt_hashes) {}

  // What is wrong; the run that shows it is then in run(). "": nothing.
  std::string search(Exploration& result) {
    World first(scenario_);
    if (std::string what = push(std::move(first), result); !what.empty()) return what;
    while (!stack_.empty()) {
      Frame& top = stack_.back();
      if (top.next == top.choices.size()) {
        on_stack_.erase(top.hash);
        stack_.pop_back();
        continue;
      }
      const Choice choice = top.choices[top.next++];
      const bool last = top.next == top.choices.size();
      ++result.transitions;
      World world = last ? std::move(top.world) : top.world;
      if (std::string what = wrong_with([&] { world.apply(choice); }); !what.empty()) return what;
      const std::uint64_t hash = world.hash();
      if (!seen_.insert(hash).second) {
        // A timer that changes nothing but the time may as well not have rung.
        const bool idle = hash == top.hash && choice.kind == Choice::Kind::kWake;
        if (!idle && on_stack_.contains(hash)) {
          by_hash_ = true;
          return "a run that never ends: this leads back to where it has been";
        }
        if (doubt_hashes_ && future_of(world) != futures_.at(hash)) {
          by_hash_ = true;
          return "two states have one hash and not the same future";
        }
        continue;
      }
      if (std::string what = push(std::move(world), hash, result); !what.empty()) return what;
    }
    return {};
  }

  std::vector<Choice> run() const {
    std::vector<Choice> run;
    for (const Frame& frame : stack_) {
      if (frame.next > 0) run.push_back(frame.choices[frame.next - 1]);
    }
    return run;
  }
  // It takes hashes to see it: a search for a shorter run would not find it.
  bool by_hash() const { return by_hash_; }

 private:
  struct Frame {
    World world;
    std::uint64_t hash;
    std::vector<Choice> choices;
    std::size_t next = 0;
  };

  std::string push(World world, Exploration& result) {
    const std::uint64_t hash = world.hash();
    seen_.insert(hash);
    return push(std::move(world), hash, result);
  }
  std::string push(World world, std::uint64_t hash, Exploration& result) {
    ++result.states;
    std::vector<Choice> choices = world.choices();
    if (at_end(choices)) {
      ++result.ends;
      if (std::string what = wrong_with([&] { world.check_end(); }); !what.empty()) return what;
    }
    if (doubt_hashes_) futures_[hash] = future_of(world);
    on_stack_.insert(hash);
    stack_.push_back({std::move(world), hash, std::move(choices)});
    result.depth = std::max(result.depth, stack_.size());
    return {};
  }

  ScenarioPtr scenario_;
  std::vector<Frame> stack_;
  std::unordered_set<std::uint64_t> seen_, on_stack_;
  std::unordered_map<std::uint64_t, std::uint64_t> futures_;
  bool doubt_hashes_;
  bool by_hash_ = false;
};

// Finds a shortest wrong run. Worlds are not kept: each is made anew from the choices that led to it.
class BreadthFirst {
 public:
  explicit BreadthFirst(ScenarioPtr scenario) : scenario_(std::move(scenario)) {}

  std::optional<std::pair<std::vector<Choice>, std::string>> search() {
    std::vector<Node> nodes{{}};
    seen_.insert(World(scenario_).hash());
    for (std::size_t at = 0; at < nodes.size(); ++at) {
      const std::vector<Choice> run = run_to(nodes, at);
      World world(scenario_);
      for (const Choice& choice : run) world.apply(choice);
      const std::vector<Choice> choices = world.choices();
      if (at_end(choices)) {
        if (std::string what = wrong_with([&] { world.check_end(); }); !what.empty()) return std::pair(run, what);
      }
      for (const Choice& choice : choices) {
        World next = world;
        if (std::string what = wrong_with([&] { next.apply(choice); }); !what.empty()) {
          std::vector<Choice> wrong = run;
          wrong.push_back(choice);
          return std::pair(std::move(wrong), what);
        }
        if (seen_.insert(next.hash()).second) nodes.push_back({at, choice});
      }
    }
    return std::nullopt;
  }

 private:
  struct Node {
    std::size_t before = 0;
    Choice choice;
  };
  static std::vector<Choice> run_to(const std::vector<Node>& nodes, std::size_t at) {
    std::vector<Choice> run;
    for (; at != 0; at = nodes[at].before) run.push_back(nodes[at].choice);
    std::reverse(run.begin(), run.end());
    return run;
  }

  ScenarioPtr scenario_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace

std::string to_string(const Counterexample& found) {
  constexpr std::size_t kMostTold = 200;
  std::string text = found.what + "\nafter " + std::to_string(found.story.size()) + " events:\n";
  for (std::size_t i = 0; i < std::min(found.story.size(), kMostTold); ++i) {
    text += "  " + std::to_string(i + 1) + ". " + found.story[i] + "\n";
  }
  if (found.story.size() > kMostTold) text += "  ...\n";
  return text + "then:\n" + found.state;
}

Exploration explore(const Scenario& scenario, bool doubt_hashes) {
  const auto shared = std::make_shared<const Scenario>(scenario);
  Exploration result;
  DepthFirst search(shared, doubt_hashes);
  const std::string what = search.search(result);
  if (what.empty()) return result;
  if (!search.by_hash()) {
    if (const auto shortest = BreadthFirst(shared).search()) {
      result.wrong = tell(shared, shortest->first, shortest->second);
      return result;
    }
  }
  result.wrong = tell(shared, search.run(), what);
  return result;
}

std::optional<Counterexample> walk(const Scenario& scenario, const std::function<std::size_t(std::size_t)>& pick) {
  constexpr std::size_t kLongest = 10'000;
  const auto shared = std::make_shared<const Scenario>(scenario);
  std::vector<Choice> run;
  const std::string what = wrong_with([&] {
    World world(shared);
    for (;;) {
      std::vector<Choice> choices = world.choices();
      const bool end = at_end(choices);
      if (end) world.check_end();
      // What may never happen happens seldom, or else every run would begin with all of it.
      if (end ? pick(4) != 0 : pick(8) != 0)
        std::erase_if(choices, [](const Choice& choice) { return choice.optional; });
      if (choices.empty()) return;
      if (run.size() == kLongest) throw Violation("a run that never ends");
      run.push_back(choices[pick(choices.size())]);
      world.apply(run.back());
    }
  });
  if (what.empty()) return std::nullopt;
  return tell(shared, run, what);
}

}  // namespace tegula::model
