// `tegula-bench out-of-core`: what does a job cost that is larger than memory? An array of so many times the workers'
// memory is stored, then read twice. Beside it: the same job at half of the memory, and what the disk does by itself,
// by direct writes and reads in the same folder, in alternation with the job. The workers tell what their disks and
// event loops did.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/command.h"
#include "bench/interrupt.h"
#include "bench/report.h"
#include "client/session.h"
#include "src/config.h"
#include "tegula/tegula.h"
#include "worker/limits.h"

namespace tegula::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kTransfer = std::size_t{8} << 20;  // bytes of one system call, and of a chunk
constexpr std::size_t kHugePage = std::size_t{2} << 20;

struct OutOfCoreOptions {
  std::string memory_limit = "512MB";
  double factor = 5;
  unsigned workers = 1;
  unsigned threads = 2;
  unsigned repeat = 5;
  std::string directory;  // for spilled values
  bool json = false;
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::uint64_t field_of(const std::string& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    std::uint64_t value = 0;
    if (word == name && in >> value) return value;
  }
  return 0;
}

// ---- the disk by itself ---------------------------------------------------------------------------------------------

struct DiskRates {
  double write = 0, read = 0;  // bytes per second
};

// Two threads, each a file after the other, as the worker does it.
double rate_of(const std::string& folder, std::uint64_t bytes, bool write) {
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  std::atomic<bool> failed{false};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      // In huge pages, as a worker's large values are: direct transfers of small ones take twice as long.
      std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(kHugePage, kTransfer), &std::free);
      madvise(block.get(), kTransfer, MADV_HUGEPAGE);
      std::fill_n(static_cast<char*>(block.get()), kTransfer, static_cast<char>(t + 1));
      for (std::uint64_t i = 0; i < bytes / 2 / kTransfer; ++i) {
        const std::string path = fmt::format("{}/{}-{}", folder, t, i);
        const int file = open(path.c_str(), (write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_DIRECT, 0600);
        const ssize_t moved = file < 0 ? -1
                              : write  ? ::write(file, block.get(), kTransfer)
                                       : ::read(file, block.get(), kTransfer);
        if (moved != static_cast<ssize_t>(kTransfer)) failed = true;
        if (file >= 0) close(file);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double took = seconds_since(begin);
  if (failed) throw FileError("the disk at " + folder + " cannot be measured by direct transfers");
  return static_cast<double>(bytes) / took;
}

DiskRates measure_disk(const std::string& directory, std::uint64_t bytes) {
  const std::string folder = directory + "/disk";
  std::filesystem::create_directories(folder);
  DiskRates rates;
  rates.write = rate_of(folder, bytes, true);
  rates.read = rate_of(folder, bytes, false);
  std::filesystem::remove_all(folder);
  return rates;
}

// ---- the job --------------------------------------------------------------------------------------------------------

// Resident memory and bytes that went to and came from the disk, of the workers' processes.
class Sampler {
 public:
  explicit Sampler(std::vector<std::uint64_t> pids) : pids_(std::move(pids)), thread_([this] { run(); }) {}
  ~Sampler() {
    stop_ = true;
    thread_.join();
  }
  std::uint64_t peak() const { return peak_; }
  std::uint64_t samples() const { return samples_; }
  std::uint64_t written() const { return sum("write_bytes:"); }
  std::uint64_t read() const { return sum("read_bytes:"); }

 private:
  std::uint64_t sum(const char* name) const {
    std::uint64_t bytes = 0;
    for (const std::uint64_t pid : pids_) bytes += field_of(fmt::format("/proc/{}/io", pid), name);
    return bytes;
  }
  void run() {
    while (!stop_) {
      for (const std::uint64_t pid : pids_) {
        const std::string path = fmt::format("/proc/{}/status", pid);
        // The high-water mark covers what happens between two samples.
        peak_ = std::max<std::uint64_t>(peak_, std::max(field_of(path, "VmRSS:"), field_of(path, "VmHWM:")) << 10);
      }
      ++samples_;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::vector<std::uint64_t> pids_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> peak_{0}, samples_{0};
  std::thread thread_;
};

// What the workers tell of themselves, together: of each figure the sum or the worst. Since they started.
struct Told {
  std::uint64_t written = 0, read = 0;  // bytes
  double write_busy_s = 0, read_busy_s = 0;
  double longest_cpu_s = 0, longest_own_s = 0, longest_wall_s = 0, wall_p999_s = 0;  // of the loops' turns
  std::uint64_t turns = 0, long_cpu = 0, long_own = 0;
  double late_p999_s = 0, longest_late_s = 0;  // of the threads that only sleep

  double write_rate() const { return write_busy_s > 0 ? static_cast<double>(written) / write_busy_s : 0; }
  double read_rate() const { return read_busy_s > 0 ? static_cast<double>(read) / read_busy_s : 0; }
};

Told ask(Client& client) {
  const auto worst = [](double& value, const nlohmann::json& other) { value = std::max(value, other.get<double>()); };
  Told told;
  for (const WorkerStatus& worker : client.status().workers) {
    const auto own = nlohmann::json::parse(client.impl()->ask_worker(worker.address, std::chrono::seconds(60)));
    const nlohmann::json &disk = own.at("disk"), &turns = own.at("turns"), &idle = turns.at("idle_thread");
    told.written += disk.at("bytes_written").get<std::uint64_t>();
    told.read += disk.at("bytes_read").get<std::uint64_t>();
    worst(told.write_busy_s, disk.at("write_busy_s"));  // they share the disk and spill at the same time
    worst(told.read_busy_s, disk.at("read_busy_s"));
    told.turns += turns.at("count").get<std::uint64_t>();
    told.long_cpu += turns.at("long_cpu").get<std::uint64_t>();
    told.long_own += turns.at("long_own").get<std::uint64_t>();
    worst(told.longest_cpu_s, turns.at("longest_cpu_s"));
    worst(told.longest_own_s, turns.at("longest_own_s"));
    worst(told.longest_wall_s, turns.at("longest_wall_s"));
    worst(told.wall_p999_s, turns.at("wall_p999_s"));
    worst(told.late_p999_s, idle.at("late_p999_s"));
    worst(told.longest_late_s, idle.at("longest_late_s"));
  }
  return told;
}

struct JobFigures {
  std::uint64_t bytes = 0;  // of the array
  double persist_s = 0, mean_s = 0, std_s = 0;
  double mean = 0, deviation = 0;
  std::uint64_t written = 0, read = 0;     // of the disk, in all
  std::uint64_t written_while_stored = 0;  // of these, in persist_s
  std::uint64_t peak_rss = 0, samples = 0;
  Told stored, all;  // when the array was stored, at the end
  double total() const { return persist_s + mean_s + std_s; }
};

JobFigures run_job(const OutOfCoreOptions& options, std::uint64_t limit, double factor, std::uint64_t seed) {
  LocalClusterOptions how;
  how.workers = options.workers;
  how.threads_per_worker = options.threads;
  how.memory_limit = std::to_string(limit);
  how.local_directory = options.directory;
  how.worker_arguments = {"--watch-turns"};
  LocalCluster cluster(how);
  Client client(cluster);
  Interrupt::watch(client);
  std::vector<std::uint64_t> pids;
  for (const WorkerStatus& worker : client.status().workers) pids.push_back(worker.pid);
  Sampler sampler(pids);

  constexpr std::int64_t kColumns = kTransfer / 8;
  const double wanted = factor * static_cast<double>(limit) * options.workers;
  const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(wanted / kTransfer));
  random::Options seeded;
  seeded.seed = seed;
  JobFigures figures;
  auto begin = Clock::now();
  const Array x = random::normal(10, 1, {rows, kColumns}, {1, kColumns}, seeded).persist(client);
  x.wait();
  figures.persist_s = seconds_since(begin);
  figures.written_while_stored = sampler.written();
  figures.stored = ask(client);
  begin = Clock::now();
  const Array mean = x.mean();
  figures.mean = mean.compute(client).item<double>();
  figures.mean_s = seconds_since(begin);
  begin = Clock::now();
  figures.deviation = (x - mean).std().compute(client).item<double>();
  figures.std_s = seconds_since(begin);
  figures.bytes = x.nbytes();
  figures.written = sampler.written();
  figures.read = sampler.read();
  figures.peak_rss = sampler.peak();
  figures.samples = sampler.samples();
  figures.all = ask(client);
  Interrupt::watch(std::nullopt);
  return figures;
}

void check(const JobFigures& figures) {
  // So many numbers that the bounds are more than ten deviations wide.
  if (std::abs(figures.mean - 10) > 0.01 || std::abs(figures.deviation - 1) > 0.01) {
    throw Error(ErrorCode::kInternal,
                fmt::format("a wrong answer: mean {}, deviation {}", figures.mean, figures.deviation));
  }
}

nlohmann::ordered_json json_of(const Told& told) {
  return {{"written", told.written},
          {"write_busy_s", told.write_busy_s},
          {"read", told.read},
          {"read_busy_s", told.read_busy_s},
          {"turns", told.turns},
          {"turn_longest_cpu_s", told.longest_cpu_s},
          {"turns_over_10ms_cpu", told.long_cpu},
          {"turn_longest_own_s", told.longest_own_s},
          {"turns_over_10ms_own", told.long_own},
          {"turn_longest_wall_s", told.longest_wall_s},
          {"turn_wall_p999_s", told.wall_p999_s},
          {"idle_late_p999_s", told.late_p999_s},
          {"idle_longest_late_s", told.longest_late_s}};
}

nlohmann::ordered_json json_of(const JobFigures& figures) {
  return {
      {"bytes", figures.bytes},        {"persist_s", figures.persist_s},     {"mean_s", figures.mean_s},
      {"std_s", figures.std_s},        {"total_s", figures.total()},         {"disk_written", figures.written},
      {"disk_read", figures.read},     {"peak_rss_bytes", figures.peak_rss}, {"rss_samples", figures.samples},
      {"mean", figures.mean},          {"deviation", figures.deviation},     {"when_stored", json_of(figures.stored)},
      {"at_end", json_of(figures.all)}};
}

void measure(OutOfCoreOptions options) {
  const std::uint64_t limit = worker::parse_memory_limit(options.memory_limit, options.workers);
  if (limit == 0) throw ValueError("--memory-limit: without one nothing is larger than memory");
  if (options.directory.empty()) options.directory = std::filesystem::temp_directory_path().string();
  options.directory += fmt::format("/tegula-out-of-core-{}", getpid());
  std::filesystem::create_directories(options.directory);
  const std::unique_ptr<const std::string, void (*)(const std::string*)> cleaner(
      &options.directory, [](const std::string* folder) {
        std::error_code error;
        std::filesystem::remove_all(*folder, error);
      });

  std::vector<double> write_share, queued_write_share, stored_write_share, queued_read_share, job_share, totals,
      half_totals, disk_writes, disk_reads, wall_p999, late_p999;
  double longest_cpu = 0, longest_own = 0;
  std::uint64_t long_cpu = 0, long_own = 0;
  std::vector<nlohmann::ordered_json> jobs;
  std::uint64_t peak = 0;
  for (unsigned round = 0; round < options.repeat; ++round) {
    const DiskRates before = measure_disk(options.directory, limit);
    const JobFigures large = run_job(options, limit, options.factor, round);
    const DiskRates after = measure_disk(options.directory, limit);
    const JobFigures half = run_job(options, limit, 0.5, round);
    check(large);
    check(half);
    const double write = (before.write + after.write) / 2, read = (before.read + after.read) / 2;
    disk_writes.push_back(write);
    disk_reads.push_back(read);
    write_share.push_back(static_cast<double>(large.written_while_stored) / large.persist_s / write);
    queued_write_share.push_back(large.all.write_rate() / write);
    stored_write_share.push_back(large.stored.write_rate() / write);
    queued_read_share.push_back(large.all.read_rate() / read);
    wall_p999.push_back(large.all.wall_p999_s);
    late_p999.push_back(large.all.late_p999_s);
    longest_cpu = std::max(longest_cpu, large.all.longest_cpu_s);
    longest_own = std::max(longest_own, large.all.longest_own_s);
    long_cpu += large.all.long_cpu;
    long_own += large.all.long_own;
    const double disk_s = static_cast<double>(large.written) / write + static_cast<double>(large.read) / read;
    job_share.push_back(disk_s > 0 ? large.total() / disk_s : 0);
    totals.push_back(large.total());
    half_totals.push_back(half.total());
    peak = std::max(peak, large.peak_rss);
    jobs.push_back({{"job", json_of(large)}, {"half", json_of(half)}, {"disk_write", write}, {"disk_read", read}});
  }
  if (options.json) {
    std::cout << nlohmann::ordered_json{{"workload", "out-of-core"},
                                        {"memory_limit", limit},
                                        {"workers", options.workers},
                                        {"threads", options.threads},
                                        {"factor", options.factor},
                                        {"median_s", median(totals)},
                                        {"median_half_s", median(half_totals)},
                                        {"peak_rss_bytes", peak},
                                        {"spill_to_disk_write_rate", median(write_share)},
                                        {"queued_to_disk_write_rate", median(queued_write_share)},
                                        {"queued_to_disk_write_rate_while_stored", median(stored_write_share)},
                                        {"queued_to_disk_read_rate", median(queued_read_share)},
                                        {"job_to_disk_time", median(job_share)},
                                        {"disk_write_bytes_per_s", median(disk_writes)},
                                        {"disk_read_bytes_per_s", median(disk_reads)},
                                        {"turn_longest_cpu_s", longest_cpu},
                                        {"turns_over_10ms_cpu", long_cpu},
                                        {"turn_longest_own_s", longest_own},
                                        {"turns_over_10ms_own", long_own},
                                        {"turn_wall_p999_s", median(wall_p999)},
                                        {"idle_late_p999_s", median(late_p999)},
                                        {"rounds", jobs}}
                     .dump()
              << "\n";
    return;
  }
  std::cout << fmt::format("out-of-core: {} times {} of memory, {} worker(s) of {} thread(s)\n", options.factor,
                           format_bytes(limit), options.workers, options.threads)
            << fmt::format("  job        {:.2f} s (median of {}), at half of the memory {:.2f} s\n", median(totals),
                           totals.size(), median(half_totals))
            << fmt::format("  memory     {} at most in a worker, of {}\n", format_bytes(peak), format_bytes(limit))
            << fmt::format("  disk       writes {}/s, reads {}/s by itself\n",
                           format_bytes(static_cast<std::uint64_t>(median(disk_writes))),
                           format_bytes(static_cast<std::uint64_t>(median(disk_reads))))
            << fmt::format("  spilling   {:.0f}% of the disk's rate while the array was stored\n",
                           median(write_share) * 100)
            << fmt::format("  writing    {:.0f}% of it while any write is queued, {:.0f}% until all is stored\n",
                           median(queued_write_share) * 100, median(stored_write_share) * 100)
            << fmt::format("  reading    {:.0f}% of the disk's rate while any read is queued\n",
                           median(queued_read_share) * 100)
            << fmt::format("  job        {:.2f} times what its transfers take the disk by itself\n", median(job_share))
            << fmt::format("  turns      {:.2f} ms of CPU at most, {} above 10 ms; with blocking {:.2f} ms, {}\n",
                           longest_cpu * 1e3, long_cpu, longest_own * 1e3, long_own)
            << fmt::format("             p99.9 {:.2f} ms; an idle thread wakes {:.2f} ms late\n",
                           median(wall_p999) * 1e3, median(late_p999) * 1e3);
}

}  // namespace

int run_out_of_core(int argc, char** argv) {
  OutOfCoreOptions options;
  CLI::App app("A job that is larger than the workers' memory.", "tegula-bench out-of-core");
  app.add_option("--memory-limit", options.memory_limit, "of each worker: 512MB")->capture_default_str();
  app.add_option("--factor", options.factor, "how many times the workers' memory the array takes")
      ->check(CLI::Range(0.1, 1000.0))
      ->capture_default_str();
  app.add_option("--workers", options.workers, "worker processes")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--threads", options.threads, "of each")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--directory", options.directory, "where values are spilled, on the disk to be measured");
  app.add_option("--repeat", options.repeat, "rounds; the median counts")->check(CLI::Range(1, 100));
  app.add_flag("--json", options.json, "one JSON object on standard output");
  return run_command(app, argc, argv, [&] { measure(options); });
}

}  // namespace tegula::bench
