// `tegula-bench transfer`: how fast do chunks go from one worker process to another, beside a program that only copies
// them through a socket? And in how many requests do many small pieces come?
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "bench/command.h"
#include "bench/report.h"
#include "bench/sockets.h"
#include "bench/transfer_source.h"
#include "comm/event_loop.h"
#include "src/buffer.h"
#include "src/config.h"
#include "tegula/error.h"
#include "worker/core/fetches.h"
#include "worker/peer_fetcher.h"
#include "worker/server.h"

namespace tegula::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr WorkerId kSource{1};
constexpr unsigned kChunkSizes[] = {16, 20, 24};
constexpr unsigned kPieceSize = 12;
constexpr std::uint32_t kPieces = 1000;

struct TransferOptions {
  unsigned repeat = 7;
  std::string bytes = "512MiB";
  bool json = false;
  bool serve = false;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_first_word(const std::byte* data, unsigned log2, std::uint32_t index) {
  std::uint64_t word = 0;
  std::memcpy(&word, data, sizeof(word));
  if (word != first_word(log2, index)) throw Error(ErrorCode::kInternal, "a chunk came with other bytes in it");
}

// The fetching half of a worker: the core's table of fetches and what carries them out, without the tasks that want
// them. On its own loop.
class Fetching {
 public:
  explicit Fetching(const std::string& source) : pool_(std::make_shared<BufferPool>(std::size_t{512} << 20)) {
    loop_.start("transfer");
    loop_.run_and_wait([&] {
      fetcher_.emplace(loop_, [this](worker::Event event) { take(std::move(event)); });
      CommOptions comm;
      comm.role = Role::kWorker;
      comm.name = "transfer";
      comm.allocator = pool_->allocator();
      fetcher_->set_options(comm);
      const worker::WorkerOptions defaults;
      worker::FetchLimits limits;
      limits.requests_per_peer = defaults.fetches_per_peer;
      limits.bytes_in_flight = defaults.fetch_bytes_in_flight;
      fetches_.emplace(limits);
      fetches_->set_address(kSource, source);
    });
  }
  ~Fetching() {
    loop_.run_and_wait([&] { fetcher_.reset(); });
  }

  struct Took {
    double seconds = 0;
    std::uint64_t requests = 0;
    Connection::Counters counters;  // since start
  };
  Took fetch(unsigned log2, std::uint32_t count) {
    Took took;
    std::future<void> done;
    const auto start = Clock::now();
    loop_.run_and_wait([&] {
      log2_ = log2;
      missing_ = count;
      requests_ = 0;
      done_ = {};
      done = done_.get_future();
      wanted_.clear();
      for (std::uint32_t i = 0; i < count; ++i) {
        const worker::Fetches::User user{static_cast<AttemptId>(i + 1), i};
        const std::uint64_t size = std::uint64_t{1} << log2;
        wanted_.push_back(fetches_->want(source_result(log2, i), {}, size, {{kSource, AttemptId{}}}, user).piece);
      }
      pump();
    });
    done.get();
    took.seconds = seconds_since(start);
    loop_.run_and_wait([&] {
      took.requests = requests_;
      took.counters = fetcher_->counters();
    });
    return took;
  }

 private:
  void take(worker::Event event) {
    try {
      auto* reply = std::get_if<msg::FetchReply>(&event);
      if (reply == nullptr) throw ConnectionError("the connection to the source broke");
      settle(fetches_->replied(std::move(*reply), Clock::now().time_since_epoch()));
      pump();
    } catch (...) {
      done_.set_exception(std::current_exception());
    }
  }
  void settle(const worker::Fetches::Outcome& outcome) {
    if (!outcome.lost.empty() || !outcome.refused.empty()) throw Error(ErrorCode::kInternal, "a chunk did not come");
    for (const auto& arrived : outcome.arrived) {
      for (const worker::Fetches::User& user : arrived.users) {
        check_first_word(arrived.chunk.data(), log2_, user.slot);
        fetches_->release(wanted_[user.slot], user.attempt);
        if (--missing_ == 0) done_.set_value();
      }
    }
  }
  void pump() {
    std::vector<worker::Action> actions;
    fetches_->pump(Clock::now().time_since_epoch(), actions);
    for (worker::Action& action : actions) {
      ++requests_;
      fetcher_->fetch(std::move(std::get<worker::StartFetch>(action)));
    }
  }

  const std::shared_ptr<BufferPool> pool_;
  EventLoop loop_;
  // The rest lives on the loop.
  std::optional<worker::PeerFetcher> fetcher_;
  std::optional<worker::Fetches> fetches_;
  std::vector<worker::PieceId> wanted_;
  std::promise<void> done_;
  unsigned log2_ = 0;
  std::uint32_t missing_ = 0;
  std::uint64_t requests_ = 0;
};

// Reads into as much memory as a worker's fetches may have under way.
class Bare {
 public:
  explicit Bare(std::uint16_t port)
      : socket_(connect_on_loopback(port)), memory_(Buffer::allocate(worker::WorkerOptions().fetch_bytes_in_flight)) {}

  double fetch(unsigned log2, std::uint32_t count) {
    const auto start = Clock::now();
    const BareRequest request{log2, count};
    bool whole = socket_.send(&request, sizeof(request));
    const std::size_t size = std::size_t{1} << log2;
    for (std::uint32_t i = 0; whole && i < count; ++i) {
      std::byte* to = memory_.mutable_data() + i % (memory_.size() / size) * size;
      whole = socket_.receive(to, size);
      if (whole) check_first_word(to, log2, i);
    }
    if (!whole) throw ConnectionError("the connection to the source broke");
    return seconds_since(start);
  }
  double round_trips(unsigned log2, std::uint32_t count) {
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < count; ++i) fetch(log2, 1);
    return seconds_since(start);
  }

 private:
  Socket socket_;
  Buffer memory_;
};

struct SizeFigures {
  unsigned log2 = 0;
  std::uint32_t chunks = 0;
  std::vector<double> tegula, bare, ratio;  // bytes per second; tegula's over that of the bare loop right before it
  double copied = 0;                        // the part of the bytes that was copied once more on arrival
};

struct PieceFigures {
  std::uint64_t requests = 0, frames = 0;
  std::vector<double> seconds, bare_seconds, one_by_one_seconds;
};

SizeFigures measure_size(unsigned log2, const TransferOptions& options, Fetching& fetching, Bare& bare) {
  SizeFigures figures;
  figures.log2 = log2;
  figures.chunks = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, parse_bytes(options.bytes) >> log2));
  const double bytes = static_cast<double>(std::uint64_t{figures.chunks} << log2);
  bare.fetch(log2, figures.chunks);  // fresh memory, growing windows
  const Connection::Counters before = fetching.fetch(log2, figures.chunks).counters;
  Connection::Counters after;
  for (unsigned i = 0; i < options.repeat; ++i) {
    figures.bare.push_back(bytes / bare.fetch(log2, figures.chunks));
    const Fetching::Took took = fetching.fetch(log2, figures.chunks);
    figures.tegula.push_back(bytes / took.seconds);
    figures.ratio.push_back(figures.tegula.back() / figures.bare.back());
    after = took.counters;
  }
  figures.copied =
      static_cast<double>(after.bulk_copied - before.bulk_copied) / static_cast<double>(after.bulk_in - before.bulk_in);
  return figures;
}

PieceFigures measure_pieces(const TransferOptions& options, Fetching& fetching, Bare& bare) {
  PieceFigures figures;
  for (unsigned i = 0; i < options.repeat; ++i) {
    const std::uint64_t frames = fetching.fetch(kPieceSize, 1).counters.frames_in;
    const Fetching::Took took = fetching.fetch(kPieceSize, kPieces);
    figures.requests = std::max(figures.requests, took.requests);
    figures.frames = std::max(figures.frames, took.counters.frames_in - frames);
    figures.seconds.push_back(took.seconds);
    figures.bare_seconds.push_back(bare.fetch(kPieceSize, kPieces));
    figures.one_by_one_seconds.push_back(bare.round_trips(kPieceSize, kPieces));
  }
  return figures;
}

void print(const TransferOptions& options, const std::vector<SizeFigures>& sizes, const PieceFigures& pieces) {
  if (!options.json) {
    std::cout << "transfer: chunks between two processes over tcp on loopback, medians\n";
    for (const SizeFigures& size : sizes) {
      std::cout << fmt::format("  {:>8}: {:.2f} GB/s, bare loop {:.2f} GB/s, ratio {:.3f}, {:.2f}% copied on arrival\n",
                               format_bytes(std::uint64_t{1} << size.log2), median(size.tegula) / 1e9,
                               median(size.bare) / 1e9, median(size.ratio), 100 * size.copied);
    }
    std::cout << fmt::format(
        "  {} pieces of 4 KiB: {} requests, {} frames, {:.2f} ms; bare loop {:.2f} ms, one by one {:.2f} ms\n", kPieces,
        pieces.requests, pieces.frames, 1e3 * median(pieces.seconds), 1e3 * median(pieces.bare_seconds),
        1e3 * median(pieces.one_by_one_seconds));
    return;
  }
  nlohmann::ordered_json json{{"workload", "transfer"}, {"repeat", options.repeat}};
  for (const SizeFigures& size : sizes) {
    json["chunks"].push_back({{"bytes", std::uint64_t{1} << size.log2},
                              {"count", size.chunks},
                              {"bytes_per_s", median(size.tegula)},
                              {"bare_bytes_per_s", median(size.bare)},
                              {"ratio", median(size.ratio)},
                              {"ratios", size.ratio},
                              {"copied", size.copied}});
  }
  json["pieces"] = {{"bytes", 1u << kPieceSize},
                    {"count", kPieces},
                    {"requests", pieces.requests},
                    {"frames", pieces.frames},
                    {"seconds", median(pieces.seconds)},
                    {"bare_seconds", median(pieces.bare_seconds)},
                    {"bare_one_by_one_seconds", median(pieces.one_by_one_seconds)}};
  std::cout << json.dump() << "\n";
}

void measure(const TransferOptions& options) {
  if (options.serve) return serve_transfers();
  const TransferSource source;
  if (source.address().empty()) throw ConnectionError("another tegula-bench did not start");
  Fetching fetching(source.address());
  Bare bare(source.bare_port());
  std::vector<SizeFigures> sizes;
  for (const unsigned log2 : kChunkSizes) sizes.push_back(measure_size(log2, options, fetching, bare));
  print(options, sizes, measure_pieces(options, fetching, bare));
}

}  // namespace

int run_transfer(int argc, char** argv) {
  TransferOptions options;
  CLI::App app("Chunks from one worker process to another, beside a bare socket loop in the same run.",
               "tegula-bench transfer");
  app.add_option("--repeat", options.repeat, "measurements of each kind, alternating; medians count")
      ->check(CLI::Range(1, 1000));
  app.add_option("--bytes", options.bytes, "of each measurement: 512MiB");
  app.add_flag("--json", options.json, "one JSON object on standard output");
  app.add_flag("--serve", options.serve, "be the other end")->group("");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
