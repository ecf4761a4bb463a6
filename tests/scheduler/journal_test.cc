// The journal on the disk: what is read back, what a torn or damaged file does, and a disk without room.
#include "scheduler/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>

#include "comm/codec.h"
#include "tests/scheduler/graphs.h"
#include "tests/support/child_process.h"

namespace tegula::scheduler {
namespace {

using testing::HasSubstr;

// Calls back on the journal's thread, which is as good as a loop for what is tested.
class TestJournal {
 public:
  explicit TestJournal(const std::string& directory, std::uint64_t least_growth = 4u << 20)
      : journal({directory, least_growth}, [](std::function<void()> work) { work(); }) {
    journal.on_committed = [this](std::uint64_t number) {
      const std::lock_guard lock(mutex_);
      committed_ = number;
      changed_.notify_all();
    };
  }
  // Appends, commits and waits until it is on the disk.
  void write(const std::vector<Persist>& entries) {
    for (const Persist& entry : entries) journal.append(entry);
    journal.commit();
    wait();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [this] { return committed_ == journal.last_commit(); }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t committed_ = 0;

 public:
  Journal journal;
};

// As bytes, which differ when anything does.
std::string text_of(const std::vector<SessionRestored>& sessions) {
  std::string text;
  for (const SessionRestored& session : sessions) {
    const codec::Encoded encoded = codec::encode(session.messages);
    text += std::to_string(session.session) + ":";
    text.append(reinterpret_cast<const char*>(encoded.control().data()), encoded.control_size);
  }
  return text;
}
std::string text_of(const JournalState& state) { return text_of(state.sessions()); }

Persist opened(std::uint64_t session) { return {session, msg::AttachClient{session, session * 7, "client", 2}}; }
Persist submitted(std::uint64_t session, std::uint64_t sequence, LayerNumber number, std::uint32_t wants = 4) {
  msg::Submit submit{sequence, number, {shared(layer_on({4}, "x" + std::to_string(number)))}, {}, {}};
  if (wants > 0) submit.wants.push_back({number, 0, 0, wants});
  return {session, submit};
}

std::string only_segment(const std::string& directory) {
  std::string found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.path().filename().string().starts_with("journal-")) continue;
    EXPECT_TRUE(found.empty()) << "more than one segment";
    found = entry.path();
  }
  return found;
}
std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(Journal, WhatWasCommittedIsThereAgain) {
  test::TemporaryDirectory folder;
  const std::string directory = folder.file("journal");
  JournalState expected;
  const std::vector<Persist> entries = {opened(1),
                                        submitted(1, 1, 0),
                                        opened(2),
                                        submitted(2, 1, 0, 0),
                                        {1, msg::ReleaseWants{2, {{0, 0, 0, 2}}}},
                                        {2, msg::SubmitRefused{2, {ErrorCode::kValue, "no", {}, {}, {}, {}}}},
                                        submitted(1, 3, 1),
                                        {1, msg::CancelWants{4, {{1, 0, 1, 2}}}},
                                        opened(3),
                                        {3, msg::CloseClient{}}};
  {
    TestJournal journal(directory);
    EXPECT_TRUE(journal.journal.restored().empty());
    for (const Persist& entry : entries) {
      journal.write({entry});
      expected.apply(entry);
    }
  }
  struct stat about {};
  ASSERT_EQ(stat(only_segment(directory).c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u) << "sessions' secrets are in it";
  for (int life = 0; life < 3; ++life) {  // each begins with a snapshot of the one before
    TestJournal journal(directory);
    EXPECT_EQ(text_of(journal.journal.restored()), text_of(expected));
  }
  ASSERT_EQ(expected.size(), 2u);
  const SessionRestored first = expected.sessions()[0];
  EXPECT_EQ(std::get<msg::AttachClient>(first.messages.front()).secret, 7u);
  EXPECT_EQ(std::get<msg::SubmitAccepted>(first.messages.back()).sequence, 4u);
}

TEST(Journal, ATornTailIsCutOffWhereverItIsTorn) {
  test::TemporaryDirectory folder;
  const std::string directory = folder.file("journal");
  JournalState before, after;
  {
    TestJournal journal(directory);
    for (const Persist& entry : {opened(1), submitted(1, 1, 0), submitted(1, 2, 1)}) {
      journal.write({entry});
      before.apply(entry);
    }
  }
  after = before;
  {
    TestJournal journal(directory);  // a snapshot, then one record
    journal.write({submitted(1, 3, 2), submitted(1, 4, 3)});
    after.apply(submitted(1, 3, 2));
    after.apply(submitted(1, 4, 3));
  }
  const std::string path = only_segment(directory);
  const std::string bytes = contents(path);
  // The snapshot ends where the head of the second record says number 2.
  std::size_t record = 0;
  for (std::size_t at = 8; at + 24 <= bytes.size(); at += 8) {
    std::uint64_t number = 0, size = 0;
    std::memcpy(&number, bytes.data() + at + 8, 8);
    std::memcpy(&size, bytes.data() + at + 16, 8);
    if (number == 2 && at + 24 + size == bytes.size()) record = at;
  }
  ASSERT_GT(record, 0u);
  const std::string copy = folder.file("copy");
  for (std::size_t cut = record; cut <= bytes.size(); ++cut) {
    for (const bool zeros : {false, true}) {  // cut short, or never written where room was set aside
      std::string torn = bytes.substr(0, cut);
      if (zeros) torn.resize(bytes.size() + 4096);
      overwrite(copy, torn);
      const bool whole = torn.starts_with(bytes);  // zeros that should be there are
      const Segment read = read_segment(copy);
      ASSERT_EQ(text_of(read.state) == text_of(whole ? after : before), true) << cut << zeros;
      if (!whole && torn.find_first_not_of('\0', record) != std::string::npos) {
        ASSERT_EQ(read.torn_at, record) << cut << zeros;
      }
    }
  }
  // And a scheduler that is started there goes on.
  overwrite(path, bytes.substr(0, bytes.size() - 1));
  TestJournal journal(directory);
  EXPECT_EQ(text_of(journal.journal.restored()), text_of(before));
}

TEST(Journal, DamageInTheMiddleIsAnErrorThatSaysWhere) {
  test::TemporaryDirectory folder;
  const std::string directory = folder.file("journal");
  {
    TestJournal journal(directory);
    for (const Persist& entry : {opened(1), submitted(1, 1, 0), submitted(1, 2, 1)}) journal.write({entry});
  }
  const std::string path = only_segment(directory);
  const std::string bytes = contents(path);
  std::size_t refused = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    overwrite(path, damaged);
    try {
      EXPECT_TRUE(read_segment(path).torn_at.has_value());
    } catch (const FileError& error) {
      EXPECT_THAT(error.what(), HasSubstr("is damaged at byte"));
      ++refused;
    }
  }
  overwrite(path, "TEGULAJ1 and nothing of use");
  EXPECT_THROW(TestJournal{directory}, FileError);
  // All but the last record, of which nobody can say whether it was whole once.
  EXPECT_GT(refused, bytes.size() / 2);
  EXPECT_LT(refused, bytes.size());
}

TEST(Journal, IsBoundedByWhatIsAlive) {
  test::TemporaryDirectory folder;
  const std::string directory = folder.file("journal");
  JournalState expected;
  std::uintmax_t largest = 0;
  {
    TestJournal journal(directory, 20'000);
    std::vector<Persist> entries = {opened(1), submitted(1, 1, 0)};
    for (std::uint64_t i = 0; i < 1000; ++i) {
      entries.push_back({1, msg::ReleaseWants{2 * i + 2, {{0, 0, 0, 4}}}});
      entries.push_back({1, msg::Submit{2 * i + 3, 1, {}, {{0, 0, 0, 4}}, {}}});
    }
    for (const Persist& entry : entries) {
      journal.journal.append(entry);
      journal.journal.commit();
      expected.apply(entry);
    }
    journal.wait();
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    largest = std::max(largest, std::filesystem::file_size(entry.path()));
  }
  EXPECT_LT(largest, 60'000u) << "200 bytes and more for each of 2000 entries";
  TestJournal again(directory);
  EXPECT_EQ(text_of(again.journal.restored()), text_of(expected));
}

TEST(Journal, AnotherOneOnTheSameDirectoryIsRefused) {
  test::TemporaryDirectory folder;
  const TestJournal first(folder.path());
  try {
    const TestJournal second(folder.path());
    FAIL() << "two journals in one directory";
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(folder.path()), HasSubstr(std::to_string(getpid()))));
  }
}

// A limit on the size of files does what a full disk does.
TEST(Journal, WithoutRoomItSaysSoAndGoesOnWhenThereIsSome) {
  test::TemporaryDirectory folder;
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  JournalState expected;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  {
    TestJournal journal(folder.path());
    journal.write({opened(1)});
    expected.apply(opened(1));
    EXPECT_EQ(journal.journal.no_room_for(1000), "");
    const rlimit full{4096, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    EXPECT_THAT(journal.journal.no_room_for(8u << 20), HasSubstr("no room for its journal"));
    // What was set aside before is there, but a file larger than the limit cannot be written to.
    for (std::uint64_t i = 1; i <= 40; ++i) {
      journal.journal.append(submitted(1, i, static_cast<LayerNumber>(i)));
      expected.apply(submitted(1, i, static_cast<LayerNumber>(i)));
    }
    journal.journal.commit();
    EXPECT_TRUE(test::eventually([&] { return !journal.journal.no_room_for(100).empty(); }));
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    journal.wait();
    EXPECT_EQ(journal.journal.no_room_for(100), "");
  }
  signal(SIGXFSZ, handler);
  const TestJournal again(folder.path());
  EXPECT_EQ(text_of(again.journal.restored()), text_of(expected));
}

// ---- what a session's messages come to ----

TEST(SessionContents, TellingItAgainComesToTheSame) {
  std::mt19937 random(11);
  const auto pick = [&](std::size_t low, std::size_t high) {
    return std::uniform_int_distribution<std::size_t>(low, high)(random);
  };
  for (int round = 0; round < 200; ++round) {
    SessionContents contents;
    std::vector<msg::LayerPtr> layers;
    std::vector<LayerNumber> numbers;
    LayerNumber next = 0;
    for (int step = 0; step < 20; ++step) {
      const std::size_t what = pick(0, 5);
      if (what < 2 || layers.empty()) {
        const auto layer = shared(RandomGraph(random).next(layers, numbers, pick(0, 1)));
        contents.apply(msg::Submit{0, next, {layer}, {{next, 0, 0, layer->tasks()}}, {}});
        layers.push_back(layer);
        numbers.push_back(next++);
        continue;
      }
      const std::size_t at = pick(0, layers.size() - 1);
      const auto begin = static_cast<std::uint32_t>(pick(0, layers[at]->tasks()));
      const msg::WantRange range{numbers[at], 0, begin, layers[at]->tasks()};
      if (what == 2) contents.apply(msg::Submit{0, next, {}, {range}, {}});
      if (what == 3) contents.apply(msg::ReleaseWants{0, {range}});
      if (what == 4) contents.apply(msg::CancelWants{0, {range}});
      if (what == 5) {
        contents.apply(msg::ForgetLayers{0, {numbers[at]}});
        layers.erase(layers.begin() + static_cast<long>(at));
        numbers.erase(numbers.begin() + static_cast<long>(at));
      }
    }
    SessionContents again;
    const std::vector<msg::Message> changes = contents.changes();
    for (const msg::Message& change : changes) again.apply(change);
    const codec::Encoded one = codec::encode(changes), two = codec::encode(again.changes());
    ASSERT_TRUE(std::ranges::equal(one.control(), two.control())) << round;
  }
}

TEST(SessionContents, WhatOnlyForgottenLayersReadGoesWithThem) {
  SessionContents contents;
  const Layer source = layer_on({4}, "source");
  const Layer sink = reads(layer_on({4}, "sink"), 0, source, {SameBlock{0}});
  contents.apply(msg::Submit{0, 0, {shared(source), shared(sink)}, {{1, 0, 0, 4}}, {}});
  contents.apply(msg::ForgetLayers{0, {0}});
  EXPECT_EQ(contents.layers(), 2u) << "the sink reads it";
  contents.apply(msg::ForgetLayers{0, {1}});
  EXPECT_TRUE(contents.empty());
}

}  // namespace
}  // namespace tegula::scheduler
