#include "comm/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "comm/event_loop_asio.h"
#include "tegula/error.h"

namespace tegula::test {

namespace {

using testing::ElementsAre;
using namespace std::chrono_literals;

TEST(EventLoop, RunsPostedWorkInOrderAndNeverInsidePost) {
  EventLoop loop;
  std::vector<int> order;
  loop.post([&] {
    loop.post([&] {
      order.push_back(3);
      loop.stop();
    });
    order.push_back(1);
  });
  loop.post([&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());
  loop.run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(EventLoop, EndOfTurnWorkComesAfterWhatIsReady) {
  EventLoop loop;
  std::vector<std::string> order;
  loop.post([&] {
    loop.at_end_of_turn([&] {
      order.push_back("end");
      loop.at_end_of_turn([&] {
        order.push_back("next end");
        loop.stop();
      });
      loop.post([&] { order.push_back("posted at end"); });
    });
    order.push_back("first");
  });
  loop.post([&] { order.push_back("second"); });
  loop.run();
  EXPECT_THAT(order, ElementsAre("first", "second", "end", "posted at end", "next end"));
}

TEST(EventLoop, StopLeavesTheRestForTheNextRun) {
  EventLoop loop;
  std::vector<int> order;
  loop.post([&] {
    order.push_back(1);
    loop.at_end_of_turn([&] { order.push_back(2); });  // what this turn queued is still flushed
    loop.stop();
  });
  loop.post([&] {
    order.push_back(3);
    loop.stop();
  });
  loop.run();
  EXPECT_THAT(order, ElementsAre(1, 2));
  loop.run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(EventLoop, StopBeforeRunIsNotForgotten) {
  EventLoop loop;
  loop.stop();
  loop.run();
}

TEST(EventLoop, TakesWorkFromManyThreads) {
  EventLoop loop;
  loop.start("test-loop");
  constexpr int kThreads = 4, kPosts = 5000;
  int count = 0;  // on the loop only
  std::array<int, kThreads> last{};
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kPosts; ++i) {
        loop.post([&, t, i] {
          in_order = in_order && last[static_cast<std::size_t>(t)] + 1 == i;
          last[static_cast<std::size_t>(t)] = i;
          ++count;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  loop.run_and_wait([&] {
    EXPECT_EQ(count, kThreads * kPosts);
    EXPECT_TRUE(in_order);
  });
}

TEST(EventLoop, ItsThreadBlocksSignalsAndHasItsName) {
  EventLoop loop;
  loop.start("a-name-of-more-than-fifteen-characters");
  loop.run_and_wait([] {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    EXPECT_TRUE(sigismember(&blocked, SIGINT));
    EXPECT_TRUE(sigismember(&blocked, SIGTERM));
    EXPECT_TRUE(sigismember(&blocked, SIGCHLD));
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    EXPECT_STREQ(name.data(), "a-name-of-more-");
  });
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_FALSE(sigismember(&blocked, SIGINT));
  EXPECT_FALSE(loop.in_loop());
}

TEST(EventLoop, RunAndWaitBringsExceptionsBack) {
  EventLoop loop;
  loop.start("test-loop");
  EXPECT_THROW(loop.run_and_wait([] { throw std::out_of_range("here"); }), std::out_of_range);
  bool nested = false;
  loop.run_and_wait([&] { loop.run_and_wait([&] { nested = loop.in_loop(); }); });
  EXPECT_TRUE(nested);
}

TEST(EventLoop, RunAndWaitEndsWhenTheLoopDoes) {
  EventLoop loop;
  loop.start("test-loop");
  std::promise<void> entered, leave;
  loop.post([&] {
    entered.set_value();
    leave.get_future().wait();
    loop.stop();
  });
  entered.get_future().wait();
  std::thread waiter([&] { EXPECT_THROW(loop.run_and_wait([] { FAIL(); }), ClosedError); });
  leave.set_value();
  waiter.join();
  loop.join();
  EXPECT_THROW(loop.run_and_wait([] { FAIL(); }), ClosedError);
}

TEST(EventLoop, ALoopThatWasStartedAgainIsWaitedFor) {
  EventLoop loop;
  for (int round = 0; round < 200; ++round) {
    loop.start("test-loop");
    bool ran = false;
    loop.run_and_wait([&] { ran = loop.in_loop(); });  // the new thread may not have made its first step
    ASSERT_TRUE(ran) << "round " << round;
    loop.stop();
    loop.join();
  }
}

// Nobody else may touch what lives on a loop from start() on, although its thread has not begun.
TEST(EventLoop, WhatIsDispatchedRightAfterStartRunsOnTheLoop) {
  for (int round = 0; round < 200; ++round) {
    EventLoop loop;
    loop.start("test-loop");
    bool on_loop = false;
    loop.impl().dispatch([&] { on_loop = loop.in_loop(); });
    loop.run_and_wait([] {});
    ASSERT_TRUE(on_loop) << "round " << round;
  }
}

TEST(EventLoop, TimersFireInOrderAndOnce) {
  EventLoop loop;
  std::vector<int> order;
  std::vector<std::unique_ptr<EventLoop::Timer>> timers;
  loop.post([&] {
    timers.push_back(loop.after(20ms, [&] {
      order.push_back(3);
      loop.stop();
    }));
    timers.push_back(loop.after(10ms, [&] { order.push_back(2); }));
    timers.push_back(loop.after(5ms, [&] { order.push_back(99); }));
    timers.push_back(loop.after(0ms, [&] {
      order.push_back(1);
      timers[2].reset();  // cancelled
    }));
  });
  loop.run();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(EventLoop, ATimerMayBeDestroyedByItsOwnWork) {
  EventLoop loop;
  std::unique_ptr<EventLoop::Timer> timer;
  auto witness = std::make_shared<int>(1);
  loop.post([&] {
    timer = loop.after(1ms, [&, witness] {
      timer.reset();
      EXPECT_EQ(*witness, 1);
      loop.stop();
    });
  });
  loop.run();
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(EventLoop, DropsWhatIsLeftWhenDestroyed) {
  auto witness = std::make_shared<int>(1);
  std::unique_ptr<EventLoop::Timer> timer;
  {
    EventLoop loop;
    loop.post([&] {
      timer = loop.after(1h, [witness] {});
      loop.stop();
    });
    loop.run();
    loop.post([witness] {});
    EXPECT_EQ(witness.use_count(), 3);
  }
  EXPECT_EQ(witness.use_count(), 2);  // the timer's handle still holds its work
  timer.reset();
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(EventLoop, ReportsTerminationSignals) {
  EventLoop loop;
  std::vector<int> signals;
  loop.on_termination_signal([&](int signal) {
    signals.push_back(signal);
    if (signals.size() == 2) return loop.stop();
    ::raise(SIGINT);
  });
  loop.post([] { ::raise(SIGTERM); });
  loop.run();
  EXPECT_THAT(signals, ElementsAre(SIGTERM, SIGINT));
}

}  // namespace

}  // namespace tegula::test
