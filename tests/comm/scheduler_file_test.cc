#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula::test {

namespace {

using testing::HasSubstr;

class SchedulerFileTest : public testing::Test {
 protected:
  SchedulerFileTest() {
    std::string name = testing::TempDir() + "/scheduler-file-XXXXXX";
    folder = ::mkdtemp(name.data());
    path = (folder / "scheduler.json").string();
  }
  ~SchedulerFileTest() override { std::filesystem::remove_all(folder); }
  void write(const std::string& text) { std::ofstream(path) << text; }
  std::string config_error() {
    try {
      (void)read_scheduler_file(path);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
  std::filesystem::path folder;
  std::string path;
};

const SchedulerFile kFile{"tcp://127.0.0.1:8786", "5ec4e7", Incarnation{0xfedcba9876543210}, "http://127.0.0.1:8787",
                          1234};

TEST_F(SchedulerFileTest, ComesBackAsWritten) {
  write_scheduler_file(path, kFile);
  const SchedulerFile back = read_scheduler_file(path);
  EXPECT_EQ(back.address, kFile.address);
  EXPECT_EQ(back.token, kFile.token);
  EXPECT_EQ(back.incarnation, kFile.incarnation);
  EXPECT_EQ(back.http_address, kFile.http_address);
  EXPECT_EQ(back.pid, kFile.pid);
}

TEST_F(SchedulerFileTest, IsForItsOwnerOnlyAndLeavesNothingElse) {
  write("an older one that anybody may read");
  ::chmod(path.c_str(), 0644);
  write_scheduler_file(path, kFile);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST_F(SchedulerFileTest, FailuresNameTheFile) {
  try {
    (void)read_scheduler_file(path);
    FAIL();
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cannot read scheduler file '" + path + "': No such file"));
  }
  EXPECT_THROW(write_scheduler_file((folder / "no-such-folder" / "file").string(), kFile), FileError);
}

TEST_F(SchedulerFileTest, RefusesOtherFiles) {
  for (const char* text : {"", "{", "[]", "{\"address\": 5}", "{\"address\": \"tcp://127.0.0.1:1\"}",
                           "{\"address\": \"tcp://::1\", \"token\": \"\", \"incarnation\": \"1\"}",
                           "{\"address\": \"tcp://h:1\", \"token\": \"\", \"incarnation\": \"xyz\"}",
                           "{\"address\": \"tcp://h:1\", \"token\": \"\", \"incarnation\": \"-1\"}",
                           "{\"address\": \"tcp://h:1\", \"token\": \"\", \"incarnation\": \"11112222333344445\"}"}) {
    write(text);
    EXPECT_THAT(config_error(), HasSubstr("'" + path + "' is no scheduler file")) << text;
  }
  write(std::string(1 << 20, ' '));
  EXPECT_THAT(config_error(), HasSubstr("too large"));
}

}  // namespace

}  // namespace tegula::test
