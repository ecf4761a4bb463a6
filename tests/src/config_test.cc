#include "src/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "src/log.h"
#include "tegula/error.h"

namespace tegula {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

// A home of its own and an environment that is put back.
class ConfigFiles : public ::testing::Test {
 protected:
  ConfigFiles() {
    std::string name = (fs::temp_directory_path() / "tegula-config.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = name;
    set("XDG_CONFIG_HOME", directory_.string());
    set("TEGULA_CONFIG", "");
    fs::create_directory(directory_ / "tegula");
  }
  ~ConfigFiles() override {
    log::configure("warning");
    for (const auto& [name, value] : before_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
    fs::remove_all(directory_);
  }

  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    before_.try_emplace(name, old == nullptr ? std::nullopt : std::optional<std::string>(old));
    ::setenv(name.c_str(), value.c_str(), 1);
  }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
    return (directory_ / name).string();
  }

  fs::path directory_;
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(ConfigFiles, LaterSourcesWin) {
  EXPECT_EQ(Config::load().integer("scheduler.port"), 8786);
  write("tegula/a.yaml", "scheduler:\n  port: 1\n  host: one\n  idle-timeout: 1s\n  client-grace: 1s\n");
  write("tegula/b.yaml", "scheduler.host: two\nworker:\n");
  write("tegula/ignored.txt", "nonsense: 1");
  EXPECT_EQ(Config::load().integer("scheduler.port"), 1);
  EXPECT_EQ(Config::load().string("scheduler.host"), "two");
  set("TEGULA_CONFIG", write("c.yaml", "scheduler: {idle-timeout: 2s, client-grace: 2s}"));
  EXPECT_EQ(Config::load().duration("scheduler.idle-timeout"), 2s);
  const std::string file = write("d.yaml", "scheduler: {client-grace: 3s}");
  EXPECT_EQ(Config::load(file).duration("scheduler.client-grace"), 3s);
  set("TEGULA_SCHEDULER__CLIENT_GRACE", "4s");
  Config config = Config::load(file);
  EXPECT_EQ(config.duration("scheduler.client-grace"), 4s);
  config.set("scheduler.client-grace", "5s");
  EXPECT_EQ(config.duration("scheduler.client-grace"), 5s);
}

TEST_F(ConfigFiles, MistakesNameFileAndKey) {
  const auto load = [&](const std::string& text) { return [path = write("x.yaml", text)] { Config::load(path); }; };
  EXPECT_THAT(load("scheduler: {prot: 1}"),
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("x.yaml"), HasSubstr("'scheduler.prot'"),
                                               HasSubstr("did you mean 'scheduler.port'?"))));
  EXPECT_THAT(load("nothing-like-it: 1"), ThrowsMessage<ConfigError>(Not(HasSubstr("did you mean"))));
  EXPECT_THAT(load("scheduler: {port: many}"),
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("scheduler.port"), HasSubstr("'many' is no integer"))));
  EXPECT_THROW(load("scheduler: {port: [1, 2]}")(), ConfigError);
  EXPECT_THROW(load("- a\n- b")(), ConfigError);
  EXPECT_THROW(load("a: [")(), ConfigError);
  EXPECT_THROW(load("? [a]\n: b")(), ConfigError);
  EXPECT_THAT([&] { Config::load((directory_ / "none.yaml").string()); },
              ThrowsMessage<ConfigError>(HasSubstr("none.yaml: cannot be read")));
  EXPECT_NO_THROW(load("")());
  set("TEGULA_SCHEDULER__PORT", "x");
  EXPECT_THAT([] { Config::load(); }, ThrowsMessage<ConfigError>(HasSubstr("TEGULA_SCHEDULER__PORT")));
}

TEST_F(ConfigFiles, UnknownVariablesAreOnlyWarnedAbout) {
  const std::string file = (directory_ / "log").string();
  log::configure("warning", file);
  set("TEGULA_SCHEDULER__PROT", "1");
  set("TEGULA_CLUSTER_TOKEN", "secret");
  EXPECT_NO_THROW(Config::load());
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_THAT(text.str(), AllOf(HasSubstr("TEGULA_SCHEDULER__PROT"), HasSubstr("scheduler.port"),
                                Not(HasSubstr("TOKEN")), Not(HasSubstr("TEGULA_CONFIG"))));
}

TEST(Config, ValuesAreCheckedForTheirType) {
  Config config;
  EXPECT_THROW(config.set("no.such-key", "1"), ConfigError);
  EXPECT_THROW(config.set("comm.insecure", "maybe"), ConfigError);
  EXPECT_THROW(config.set("comm.max-bulk-bytes", "-1"), ConfigError);
  EXPECT_THROW(config.set("comm.idle-timeout", "soon"), ConfigError);
  config.set("comm.insecure", "Yes");
  EXPECT_TRUE(config.boolean("comm.insecure"));
  EXPECT_THROW(config.string("no.such-key"), ConfigError);
}

TEST(Config, Bytes) {
  EXPECT_EQ(parse_bytes("1000"), 1000u);
  EXPECT_EQ(parse_bytes("4GB"), 4000000000u);
  EXPECT_EQ(parse_bytes("1.5 GiB"), 1610612736u);
  EXPECT_EQ(parse_bytes(" 64mib "), std::uint64_t{64} << 20);
  for (const char* text : {"", "GiB", "5 parsecs", "-1", "1e30", "nan", "inf", "1 2", "1 GiB GiB"}) {
    EXPECT_THROW(parse_bytes(text), ValueError) << text;
  }
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1610612736), "1.50 GiB");
  EXPECT_EQ(format_bytes((std::uint64_t{1} << 30) - 1), "1.00 GiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.00 EiB");
}

TEST(Config, Durations) {
  EXPECT_EQ(parse_duration("5s"), 5s);
  EXPECT_EQ(parse_duration("5"), 5s);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("5 min"), 5min);
  EXPECT_EQ(parse_duration("1.5h"), 90min);
  for (const char* text : {"", "s", "-5s", "5 fortnights", "1e300s"}) EXPECT_THROW(parse_duration(text), ValueError);
}

TEST(Config, Nearest) {
  const std::vector<std::string> words = {"scheduler.port", "worker.port", "worker.name"};
  EXPECT_EQ(nearest("worker.prot", words), "worker.port");
  EXPECT_EQ(nearest("xyz", words), "");
}

TEST(Config, EveryKeyIsWellFormed) {
  std::set<std::string_view> names;
  Config config;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name << " is there twice";
    EXPECT_NO_THROW(config.set(key.name, key.default_value)) << key.name;
    EXPECT_TRUE(key.help.ends_with(".")) << key.name;
  }
}

// docs/configuration.md as the table of keys makes it.
std::string documentation() {
  static constexpr const char* kTypes[] = {"text", "integer", "number", "true or false", "bytes", "duration"};
  std::string text = R"(# Configuration

Later sources win: the defaults below, YAML files (`~/.config/tegula/*.yaml` by name, then the file that
`TEGULA_CONFIG` names, then `--config`), environment variables, what a program sets in code, command line flags.

In a file `scheduler.port` is `port:` under `scheduler:`; as a variable it is `TEGULA_SCHEDULER__PORT` (two underscores
for the dot, one for a dash). An unknown key in a file is an error, an unknown variable only a warning.
`TEGULA_CLUSTER_TOKEN` holds the cluster token where no scheduler file does. Bytes are written like `1000`, `512MB`,
`1.5GiB`; durations like `250ms`, `30s`, `5min`, `1.5h`.
)";
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    const std::string now(key.name.substr(0, key.name.find('.')));
    if (now != section) {
      section = now;
      text += "\n## " + section + "\n\n| Key | Type | Default | |\n|---|---|---|---|\n";
    }
    const std::string value = key.default_value.empty() ? "empty" : "`" + std::string(key.default_value) + "`";
    text += "| `" + std::string(key.name) + "` | " + kTypes[static_cast<int>(key.type)] + " | " + value + " | " +
            std::string(key.help) + " |\n";
  }
  return text;
}

TEST(Config, DocumentationIsTheTable) {
  const fs::path path = fs::path(TEGULA_SOURCE_DIR) / "docs" / "configuration.md";
  if (std::getenv("TEGULA_TEST_WRITE_DOCS") != nullptr) std::ofstream(path) << documentation();
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), documentation()) << "run this test with TEGULA_TEST_WRITE_DOCS=1 to write " << path;
}

TEST(Log, LevelsAndFiles) {
  const std::string file = (fs::temp_directory_path() / ("tegula-log." + std::to_string(::getpid()))).string();
  log::configure("info", file);
  EXPECT_TRUE(log::enabled(log::Level::kInfo));
  EXPECT_FALSE(log::enabled(log::Level::kDebug));
  EXPECT_FALSE(log::enabled(log::Level::kOff));
  log::debug("test", "not this");
  log::info("test", "{} and {}", 1, "two");
  log::info("test", "{}", "braces {} stay");
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  EXPECT_THAT(text.str(),
              AllOf(HasSubstr("test: 1 and two\n"), HasSubstr("braces {} stay"), Not(HasSubstr("not this"))));
  EXPECT_THROW(log::configure("loud"), ConfigError);
  EXPECT_THROW(log::configure("info", "/dev/null/log"), FileError);
  log::configure("off");
  EXPECT_FALSE(log::enabled(log::Level::kError));
  log::configure("warning");
  fs::remove(file);
}

}  // namespace
}  // namespace tegula
