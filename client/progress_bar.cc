#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>

#include "client/progress_text.h"
#include "tegula/client.h"

namespace tegula {

namespace client {

namespace {

std::string duration_text(double seconds) {
  if (seconds < 60) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<long>(seconds);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole % 3600 / 60);
}

std::string count_text(double count) {
  if (count < 10000) return fmt::format("{:.0f}", count);
  return count < 1e7 ? fmt::format("{:.1f}k", count / 1e3) : fmt::format("{:.1f}M", count / 1e6);
}

}  // namespace

std::string progress_text(const ProgressReport& now, double seconds, double rate, int columns) {
  const double share = now.total == 0 ? 0 : static_cast<double>(now.done) / static_cast<double>(now.total);
  std::string text = fmt::format(" {:3.0f}%  {}/{} tasks", std::min(share, 1.0) * 100,
                                 count_text(static_cast<double>(now.done)), count_text(static_cast<double>(now.total)));
  if (rate > 0) text += fmt::format("  {}/s", count_text(rate));
  if (now.done >= now.total) {
    text += "  in " + duration_text(seconds);
  } else if (rate > 0) {
    text += "  " + duration_text(static_cast<double>(now.total - now.done) / rate) + " left";
  }
  text += fmt::format("  {} workers, {} threads", now.workers, now.threads);
  const int width = std::min(40, columns - static_cast<int>(text.size()) - 2);
  if (width < 8) return text;
  const int full = static_cast<int>(std::min(share, 1.0) * width);
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(width - full), '.') + "]" + text;
}

}  // namespace client

struct ProgressBar::Impl {
  using Clock = std::chrono::steady_clock;
  static constexpr auto kLineInterval = std::chrono::seconds(5);

  explicit Impl(Client given) : client(std::move(given)), terminal(isatty(STDERR_FILENO) == 1) {
    client.on_progress([this](const ProgressReport& report) { show(report); });
  }
  ~Impl() {
    client.on_progress({});  // show() is not called any more after this
    if (!last) return;
    if (terminal) {
      std::fputc('\n', stderr);
    } else if (!shown_last) {
      print(*last);
    }
  }

  void show(const ProgressReport& report) {
    const auto now = Clock::now();
    if (report.total == 0) return;
    if (!last || report.done < last->done) {  // the first, or another computation
      started = now;
      first_done = report.done;
      shown_at = {};
    }
    last = report;
    shown_last = terminal || now - shown_at >= kLineInterval;
    if (!shown_last) return;
    shown_at = now;
    print(report);
  }

  void print(const ProgressReport& report) {
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    const double rate = seconds > 0 ? static_cast<double>(report.done - first_done) / seconds : 0;
    winsize size{};
    const bool known = terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    const std::string text = client::progress_text(report, seconds, rate, known ? size.ws_col : 80);
    if (terminal) {
      fmt::print(stderr, "\r{}\x1b[K", text);  // and clears the rest of the line
    } else {
      fmt::print(stderr, "{}\n", text);
    }
    std::fflush(stderr);
  }

  Client client;
  const bool terminal;
  // Of the notifying thread, and of the destructor's after that.
  std::optional<ProgressReport> last;
  bool shown_last = false;
  Clock::time_point started, shown_at;
  std::uint64_t first_done = 0;
};

ProgressBar::ProgressBar(Client& client) : impl_(std::make_unique<Impl>(client)) {}
ProgressBar::~ProgressBar() = default;

}  // namespace tegula
