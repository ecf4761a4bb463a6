// Copies that the scheduler asks a worker for: fetched, kept, answered; or answered that they can't be had.
#include "tests/worker/core_fixture.h"

namespace tegula::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Replicas : public CoreTest {
 protected:
  void acquire(std::vector<msg::Assign::Holder> holders) { give(msg::AcquireReplicas{std::move(holders)}); }
  // The results of all answers of a kind.
  template <typename M>
  std::vector<ResultId> answered() const {
    std::vector<ResultId> results;
    for (const M& message : sent_of<M>()) {
      results.insert(results.end(), message.results.begin(), message.results.end());
    }
    return results;
  }
};

TEST_F(Replicas, AreFetchedKeptAndReported) {
  start();
  acquire({{result(kSource, 1), kPeer}, {result(kSource, 2), kPeer}});
  ASSERT_THAT(fetches, SizeIs(1));
  EXPECT_THAT(fetches[0].items, SizeIs(2));
  EXPECT_THAT(answered<msg::ReplicasAdded>(), IsEmpty());
  answer(fetches[0]);
  EXPECT_EQ(answered<msg::ReplicasAdded>().size(), 2u);
  EXPECT_NE(state->find(result(kSource, 1)), nullptr);
  EXPECT_EQ(state->managed_bytes(), 2u * 8 * kItems);
  EXPECT_EQ(state->acquiring(), 0u);
  EXPECT_EQ(state->reserved_bytes(), 0u);
  give(msg::FreeResults{{result(kSource, 1), result(kSource, 2)}});
  EXPECT_EQ(state->managed_bytes(), 0u);
}

TEST_F(Replicas, OfWhatIsHereAreReportedAtOnce) {
  start();
  assign(1, kSource, 3);
  finish(1);
  acquire({{result(kSource, 3), kPeer}});
  EXPECT_THAT(fetches, IsEmpty());
  EXPECT_THAT(answered<msg::ReplicasAdded>(), ElementsAre(result(kSource, 3)));
}

TEST_F(Replicas, TheNextHolderIsAskedAndThenTheyAreGivenUp) {
  start();
  acquire({{result(kSource, 1), kPeer}, {result(kSource, 1), kOther}});
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0], msg::FetchStatus::kMissing);
  ASSERT_THAT(fetches, SizeIs(2));
  EXPECT_NE(fetches[1].peer, fetches[0].peer);
  answer(fetches[1], msg::FetchStatus::kMissing);
  EXPECT_THAT(answered<msg::ReplicasDropped>(), ElementsAre(result(kSource, 1)));
  EXPECT_EQ(state->acquiring(), 0u);
}

TEST_F(Replicas, ThatCannotBeHadButWereMadeHereMeanwhileAreHere) {
  start();
  acquire({{result(kSource, 1), kPeer}});
  assign(1, kSource, 1);
  finish(1);
  answer(fetches.at(0), msg::FetchStatus::kMissing);
  EXPECT_THAT(answered<msg::ReplicasDropped>(), IsEmpty());
  EXPECT_THAT(answered<msg::ReplicasAdded>(), ElementsAre(result(kSource, 1)));
}

TEST_F(Replicas, WithoutAKnownHolderAreGivenUp) {
  start();
  acquire({{result(kSource, 1), WorkerId{9}}, {result(kSource, 2), kSelf}});
  EXPECT_EQ(answered<msg::ReplicasDropped>().size(), 2u);
}

TEST_F(Replicas, ThatDoNotFitAreLeftToOthers) {
  start(1, 8 * kItems * 3 / 2);
  acquire({{result(kSource, 1), kPeer}, {result(kSource, 2), kPeer}});
  EXPECT_THAT(answered<msg::ReplicasDropped>(), ElementsAre(result(kSource, 2)));
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0]);
  EXPECT_THAT(answered<msg::ReplicasAdded>(), ElementsAre(result(kSource, 1)));
}

TEST_F(Replicas, ShareAFetchWithTheTaskThatNeedsTheSame) {
  start();
  assign(1, kAdd, 4, {{result(kSource, 4), kPeer}});
  acquire({{result(kSource, 4), kPeer}});
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0]);
  EXPECT_THAT(answered<msg::ReplicasAdded>(), ElementsAre(result(kSource, 4)));
  EXPECT_THAT(started(), ElementsAre(1));
}

TEST_F(Replicas, FreedWhileTheyComeAreGivenUp) {
  start();
  acquire({{result(kSource, 1), kPeer}});
  give(msg::FreeResults{{result(kSource, 1)}});
  EXPECT_THAT(answered<msg::ReplicasDropped>(), ElementsAre(result(kSource, 1)));
  answer(fetches[0]);
  EXPECT_EQ(state->find(result(kSource, 1)), nullptr);
  EXPECT_EQ(state->managed_bytes(), 0u);
  EXPECT_EQ(state->reserved_bytes(), 0u);
}

TEST_F(Replicas, AskedForTwiceAreFetchedAndAnsweredOnce) {
  start();
  acquire({{result(kSource, 1), kPeer}});
  acquire({{result(kSource, 1), kOther}});
  ASSERT_THAT(fetches, SizeIs(1));
  answer(fetches[0]);
  EXPECT_THAT(answered<msg::ReplicasAdded>(), SizeIs(1));
}

}  // namespace
}  // namespace tegula::worker
