#include "scheduler/daemon.h"

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/event_loop.h"
#include "comm/interfaces.h"
#include "comm/options.h"
#include "comm/transport.h"
#include "scheduler/http.h"
#include "scheduler/server.h"
#include "src/config.h"
#include "src/log.h"
#include "src/version.h"

namespace tegula {

namespace {

constexpr std::string_view kLog = "scheduler";
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Flags {
  std::vector<std::pair<std::string, std::string>> settings;  // configuration keys, as given
  std::string config_file;
  std::optional<int> exit;  // --help, --version, or wrong
};

Flags parse_flags(int argc, char** argv) {
  Flags flags;
  CLI::App app("The scheduler of a Tegula cluster: tracks task graphs, workers and clients.", "tegula-scheduler");
  app.set_version_flag("--version", "tegula-scheduler " + std::string(kVersion));
  app.allow_extras();  // refused below, with a suggestion
  const auto option = [&](const char* flag, const char* key, const char* help) {
    app.add_option_function<std::string>(
           flag, [&flags, key](const std::string& value) { flags.settings.emplace_back(key, value); }, help)
        ->type_name("");
  };
  option("--host", "scheduler.host", "address to listen on (127.0.0.1)");
  option("--port", "scheduler.port", "port to listen on (8786); 0: any free one");
  option("--interface", "scheduler.interface", "listen on the address of this network interface");
  option("--listen-address", "scheduler.listen-address", "whole address to listen on: tcp://host:port");
  option("--contact-address", "scheduler.contact-address", "address that workers and clients are told");
  option("--scheduler-file", "scheduler.file", "write address and cluster token to this file (mode 0600)");
  option("--idle-timeout", "scheduler.idle-timeout", "end after this long without work: 30s, 5min");
  option("--record", "scheduler.record", "write a record of all events to this file, for tegula replay");
  option("--journal", "scheduler.journal",
         "keep what clients want in this directory, for a scheduler that is started again");
  option("--http-host", "scheduler.http-host", "address for /health and /metrics (127.0.0.1)");
  option("--http-port", "scheduler.http-port", "port for them; 0: any free one, -1: none");
  option("--log-level", "logging.level", "trace, debug, info, warning, error or off");
  app.add_flag_callback(
      "--insecure", [&flags] { flags.settings.emplace_back("comm.insecure", "true"); },
      "ask nobody for a cluster token, also beyond loopback");
  app.add_option("--config", flags.config_file, "a configuration file (YAML)")->type_name("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    flags.exit = app.exit(request);
    return flags;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "tegula-scheduler: {}\n", error.what());
    flags.exit = kExitUsage;
    return flags;
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    std::vector<std::string> known;
    for (const CLI::Option* each : app.get_options()) known.push_back("--" + each->get_lnames().front());
    const std::string suggestion = nearest(extras.front(), known);
    fmt::print(stderr, "tegula-scheduler: unknown argument '{}'{}\n", extras.front(),
               suggestion.empty() ? std::string() : "; did you mean " + suggestion + "?");
    flags.exit = kExitUsage;
  }
  return flags;
}

// Every worker and client is a connection.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string listen_address(const Config& config) {
  if (const std::string& address = config.string("scheduler.listen-address"); !address.empty()) {
    return to_string(parse_address(address, kDefaultSchedulerPort));
  }
  const std::string& interface = config.string("scheduler.interface");
  Address address{"tcp", interface.empty() ? config.string("scheduler.host") : interface_address(interface), 0};
  const std::int64_t port = config.integer("scheduler.port");
  if (port < 0 || port > 65535) throw ConfigError(fmt::format("scheduler.port: {} is no port number", port));
  address.port = static_cast<std::uint16_t>(port);
  // to_string leaves a port of 0 out and a listener then takes any.
  return to_string(address);
}

// The address for the scheduler file: what was asked for, completed with the port; an address that stands for all of
// this machine's is replaced by one of them.
std::string contact_address(const Config& config, const std::string& listened) {
  Address contact = parse_address(listened);
  if (const std::string& wanted = config.string("scheduler.contact-address"); !wanted.empty()) {
    return to_string(parse_address(wanted, contact.port));
  }
  if (contact.host == "0.0.0.0" || contact.host == "::") contact.host = outward_address();
  return to_string(contact);
}

std::string choose_token(const Config& config, const std::string& address) {
  if (config.boolean("comm.insecure")) return "";
  if (std::string token = token_from_environment(); !token.empty()) return token;
  if (!config.string("scheduler.file").empty()) return make_cluster_token();
  if (is_loopback(parse_address(address))) return "";
  throw ConfigError("listening on " + address +
                    " needs a cluster token: give --scheduler-file (which gets a new one) or TEGULA_CLUSTER_TOKEN, or "
                    "--insecure to do without");
}

// The scheduler file while it is ours: another scheduler may have written its own since.
class FileHolder {
 public:
  FileHolder(std::string path, const SchedulerFile& file) : path_(std::move(path)), incarnation_(file.incarnation) {
    if (!path_.empty()) write_scheduler_file(path_, file);
  }
  ~FileHolder() {
    if (path_.empty()) return;
    try {
      if (read_scheduler_file(path_).incarnation == incarnation_) unlink(path_.c_str());
    } catch (const Error&) {
      // gone already, or somebody else's
    }
  }
  FileHolder(const FileHolder&) = delete;
  FileHolder& operator=(const FileHolder&) = delete;

 private:
  std::string path_;
  Incarnation incarnation_;
};

int serve(const Config& config) {
  signal(SIGXFSZ, SIG_IGN);  // a journal that reaches a limit is told so by what writes it
  scheduler::SchedulerOptions options = scheduler::scheduler_options(config);
  const std::string address = listen_address(config);
  options.listen_addresses = {address};
  options.comm.token = choose_token(config, address);
  const std::string token = options.comm.token;

  EventLoop loop;
  scheduler::SchedulerServer server(loop, std::move(options));
  const std::string listened = server.addresses().front();
  const std::string contact = contact_address(config, listened);

  std::optional<scheduler::HttpServer> http;
  if (const std::int64_t port = config.integer("scheduler.http-port"); port >= 0) {
    if (port > 65535) throw ConfigError(fmt::format("scheduler.http-port: {} is no port number", port));
    http.emplace(loop, server, config.string("scheduler.http-host"), static_cast<std::uint16_t>(port));
  }
  const std::string http_address = http ? http->address() : "";
  const FileHolder file(config.string("scheduler.file"),
                        {contact, token, server.incarnation(), http_address, static_cast<std::uint64_t>(getpid())});

  bool ending = false;
  const auto end = [&](const std::string& why) {
    if (std::exchange(ending, true)) return loop.stop();  // asked twice: at once
    log::info(kLog, "ending: {}", why);
    server.stop("the scheduler ends", [&loop] { loop.stop(); });
  };
  loop.on_termination_signal([&](int signal) { end(signal == SIGINT ? "interrupted" : "terminated"); });
  server.on_idle = [&] { end("nothing to do for " + config.string("scheduler.idle-timeout")); };

  if (config.boolean("comm.insecure")) {
    log::warning(kLog, "insecure: whoever reaches {} can run work here", listened);
  } else if (token.empty()) {
    log::info(kLog, "no cluster token: every user of this machine can connect (--scheduler-file makes one)");
  }
  fmt::print("tegula-scheduler: listening on {}{}\n", listened, http ? " (" + http_address + ")" : std::string());
  std::fflush(stdout);
  loop.run();
  http.reset();  // before the server whose numbers it shows
  return 0;
}

}  // namespace

int scheduler_main(int argc, char** argv) {
  Flags flags = parse_flags(argc, argv);
  if (flags.exit) return *flags.exit;
  try {
    Config config = Config::load(flags.config_file);
    for (const auto& [key, value] : flags.settings) config.set(key, value);
    log::configure(config.string("logging.level"), config.string("logging.file"));
    raise_descriptor_limit();
    return serve(config);
  } catch (const ConfigError& error) {
    fmt::print(stderr, "tegula-scheduler: {}\n", error.what());
    return kExitUsage;
  } catch (const ValueError& error) {  // a malformed address
    fmt::print(stderr, "tegula-scheduler: {}\n", error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "tegula-scheduler: {}\n", error.what());
    return kExitFailed;
  }
}

}  // namespace tegula
