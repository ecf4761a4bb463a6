#include "bench/sim/scenario.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "src/config.h"
#include "src/graph_rules.h"
#include "tegula/error.h"

namespace tegula::sim {
namespace {

// A worker's threads, from its arrival to its end, in seconds of work on a normal worker for each second.
struct Span {
  double from, to, speed;
};

std::vector<Span> spans_of(const Scenario& scenario) {
  constexpr double kForever = 1e300;
  const auto seconds = [](Time time) { return std::chrono::duration<double>(time).count(); };
  std::vector<Span> spans;
  const auto add = [&](std::uint32_t workers, double from) {
    for (std::uint32_t i = 0; i < workers; ++i) {
      const double factor = scenario.durations.factor(static_cast<std::uint32_t>(spans.size()));
      spans.push_back({from, kForever, scenario.threads / factor});
    }
  };
  add(scenario.workers, 0);
  for (const Scenario::Change& join : scenario.joins) add(join.workers, seconds(join.at));
  std::size_t lost = 0;
  for (const Scenario::Change& loss : scenario.losses) {
    for (std::uint32_t i = 0; i < loss.workers && lost < spans.size(); ++i) spans[lost++].to = seconds(loss.at);
  }
  return spans;
}

double done_until(const std::vector<Span>& spans, double time) {
  double done = 0;
  for (const Span& span : spans) done += std::max(0.0, std::min(time, span.to) - span.from) * span.speed;
  return done;
}

double fastest(const Scenario& scenario) {
  std::uint32_t workers = scenario.workers;
  for (const Scenario::Change& join : scenario.joins) workers += join.workers;
  double factor = scenario.durations.factor(0);
  for (std::uint32_t w = 1; w < workers; ++w) factor = std::min(factor, scenario.durations.factor(w));
  return factor;
}

}  // namespace

Scenario::Change parse_change(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  Scenario::Change change;
  const std::string_view count = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), change.workers);
  if (error != std::errc() || end != count.data() + count.size() || change.workers == 0) {
    throw ValueError(fmt::format("'{}' is not of the form TIME:WORKERS, as 2s:5 is", text));
  }
  change.at = parse_duration(text.substr(0, colon));
  return change;
}

LowerBound lower_bound(const Pattern& pattern, const Scenario& scenario) {
  Time path{}, work{};
  std::vector<std::vector<Time>> ends(pattern.layers.size());
  std::vector<std::size_t> last_reader(pattern.layers.size());
  for (std::size_t layer = 0; layer < pattern.layers.size(); ++layer) {
    for (const InputRule& input : pattern.layers[layer]->inputs) last_reader[input.layer] = layer;
  }
  for (std::size_t layer = 0; layer < pattern.layers.size(); ++layer) {
    const Layer& description = *pattern.layers[layer];
    std::vector<CompiledRule> rules;
    for (std::size_t rule = 0; rule < description.inputs.size(); ++rule) rules.emplace_back(description, rule);
    ends[layer].resize(description.tasks());
    for (std::uint32_t index = 0; index < description.tasks(); ++index) {
      Time start{};
      for (std::size_t rule = 0; rule < rules.size(); ++rule) {
        const std::vector<Time>& inputs = ends[description.inputs[rule].layer];
        rules[rule].view().for_each(index, [&](std::uint32_t producer) { start = std::max(start, inputs[producer]); });
      }
      const Time lasts = scenario.durations.of(static_cast<std::uint32_t>(layer), index);
      work += lasts;
      ends[layer][index] = start + lasts;
      path = std::max(path, start + lasts);
    }
    for (const InputRule& input : description.inputs) {
      if (last_reader[input.layer] == layer) std::vector<Time>().swap(ends[input.layer]);
    }
  }

  const std::vector<Span> spans = spans_of(scenario);
  const double seconds = std::chrono::duration<double>(work).count();
  double low = 0, high = 1;
  while (done_until(spans, high) < seconds && high < 1e12) high *= 2;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (done_until(spans, middle) < seconds ? low : high) = middle;
  }
  LowerBound bound;
  bound.critical_path = Time(std::llround(static_cast<double>(path.count()) * fastest(scenario)));
  bound.work_over_threads = Time(static_cast<std::int64_t>(low * 1e9));
  return bound;
}

}  // namespace tegula::sim
