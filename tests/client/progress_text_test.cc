#include "client/progress_text.h"

#include <gtest/gtest.h>

namespace tegula::client {
namespace {

TEST(ProgressText, FitsTheTerminalAndCounts) {
  ProgressReport half{1000, 500, 2, 2, 4};
  const std::string text = progress_text(half, 10, 50, 100);
  EXPECT_LE(text.size(), 100u);
  EXPECT_EQ(text.front(), '[');
  for (const char* part : {"50%", "500/1000 tasks", "50/s", "10 s left", "2 workers, 4 threads"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(ProgressText, SaysHowLongItTookAtTheEnd) {
  const std::string text = progress_text({40000000, 40000000, 0, 1, 1}, 3725, 10738, 120);
  for (const char* part : {"100%", "40.0M/40.0M", "in 1:02 h"}) EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(ProgressText, NarrowTerminalsGetNoBar) {
  const std::string text = progress_text({1000, 1, 1, 1, 1}, 1, 1, 30);
  EXPECT_EQ(text.find('['), std::string::npos);
}

TEST(ProgressText, NothingKnownYet) {
  EXPECT_NE(progress_text({10, 0, 0, 0, 0}, 0, 0, 80).find("0%"), std::string::npos);
  EXPECT_NE(progress_text({0, 0, 0, 0, 0}, 0, 0, 80).find("0/0"), std::string::npos);
}

}  // namespace
}  // namespace tegula::client
