#include "comm/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "comm/event_loop_asio.h"
#include "comm/turn_watch.h"
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

// ---- threads that lend themselves

// Runs `work` on the calling thread: as often as somebody else was quicker, it tries again.
void lend_for(EventLoop& loop, const std::function<void()>& work) {
  const auto self = std::this_thread::get_id();
  for (bool here = false; !here;) {
    std::promise<bool> ran_here;
    loop.run_here_or_post([&] {
      const bool mine = std::this_thread::get_id() == self;
      if (mine) work();
      ran_here.set_value(mine);
    });
    here = ran_here.get_future().get();
  }
}

TEST(EventLoop, AThreadThatLendsItselfRunsTheLoop) {
  EventLoop loop;
  loop.start("test-loop");
  loop.run_and_wait([] {});  // a thread that has yet to begin would take its turn back from the one that lends itself
  std::vector<std::string> order;
  lend_for(loop, [&] {
    EXPECT_TRUE(loop.in_loop());
    loop.at_end_of_turn([&] { order.push_back("end of turn"); });
    loop.post_anywhere([&, self = std::this_thread::get_id()] {
      EXPECT_EQ(std::this_thread::get_id(), self);
      order.push_back("posted anywhere");
    });
    loop.run_here_or_post([&] { order.push_back("never inside other work"); });
    loop.run_and_wait([&] { order.push_back("waited for, on the loop"); });
  });
  EXPECT_FALSE(loop.in_loop());
  loop.run_and_wait([&] {
    EXPECT_THAT(order,
                ElementsAre("waited for, on the loop", "end of turn", "posted anywhere", "never inside other work"));
  });
}

TEST(EventLoop, WhatIsForItsOwnThreadRunsThereAndInOrder) {
  EventLoop loop;
  loop.start("test-loop");
  std::thread::id own;
  loop.run_and_wait([&] { own = std::this_thread::get_id(); });
  for (int round = 0; round < 200; ++round) {
    std::vector<int> order;
    const auto on_own = [&, own](int number) {
      EXPECT_EQ(std::this_thread::get_id(), own);
      order.push_back(number);
    };
    lend_for(loop, [&] {
      loop.post([&] { on_own(1); });
      loop.post_anywhere([&] { order.push_back(2); });
      loop.post([&] { on_own(3); });
    });
    loop.post([&] { on_own(4); });
    loop.run_here_or_post([&] { order.push_back(5); });
    loop.run_and_wait([&] { ASSERT_THAT(order, ElementsAre(1, 2, 3, 4, 5)) << "round " << round; });
  }
}

TEST(EventLoop, ALoopThatIsNotRunIsNotLentTo) {
  EventLoop loop;
  bool ran = false;
  loop.run_here_or_post([&] {
    ran = true;
    loop.stop();
  });
  EXPECT_FALSE(ran);
  loop.run();
  EXPECT_TRUE(ran);
  ran = false;
  loop.run_here_or_post([&] { ran = true; });
  EXPECT_FALSE(ran);
}

TEST(EventLoop, NoThreadIsLentForEver) {
  EventLoop loop;
  loop.start("test-loop");
  bool enough = false;  // on the loop only
  std::function<void()> again = [&] {
    if (!enough) loop.post_anywhere(again);
  };
  loop.run_here_or_post(again);  // comes back although there is always more
  loop.run_and_wait([&] { enough = true; });
  loop.run_and_wait([] {});
}

// The loop's thread leaves to lenders what they posted while it ran the loop, and takes it when none of them comes.
TEST(EventLoop, WhatLendersPostedMeanwhileIsRunWhetherTheyHelpOrNot) {
  EventLoop loop;
  loop.start("test-loop");
  for (int round = 0; round < 40; ++round) {
    std::promise<void> entered, leave, ran;
    loop.post([&] {
      entered.set_value();
      leave.get_future().wait();
    });
    entered.get_future().wait();
    std::atomic<bool> done{false};
    loop.run_here_or_post([&] {
      loop.at_end_of_turn([&] { ran.set_value(); });
      done = true;
    });
    EXPECT_FALSE(done);
    loop.help();  // somebody runs the loop: nothing to do
    EXPECT_FALSE(done);
    leave.set_value();
    while (round % 2 == 0 && !done) loop.help();
    ran.get_future().wait();
  }
}

TEST(EventLoop, ATimerThatAnotherThreadArmsWakesTheLoopsThread) {
  EventLoop loop;
  loop.start("test-loop");
  std::unique_ptr<EventLoop::Timer> timer, far;
  loop.run_and_wait([&] { far = loop.after(1h, [] {}); });
  for (int round = 0; round < 50; ++round) {
    std::promise<std::thread::id> fired;
    lend_for(loop, [&] { timer = loop.after(100us, [&] { fired.set_value(std::this_thread::get_id()); }); });
    EXPECT_NE(fired.get_future().get(), std::this_thread::get_id());
  }
  loop.run_and_wait([&] {
    timer.reset();
    far.reset();
  });
}

TEST(EventLoop, WhatLentThreadsThrowComesOutOfRun) {
  EventLoop loop;
  bool rest = false;
  std::thread lender([&] {
    lend_for(loop, [&] {
      loop.post_anywhere([] { throw std::out_of_range("here"); });
      loop.post_anywhere([&] {
        rest = true;
        loop.stop();
      });
    });
  });
  EXPECT_THROW(loop.run(), std::out_of_range);
  lender.join();
  EXPECT_FALSE(rest);
  loop.run();
  EXPECT_TRUE(rest);
}

// Mutual exclusion, order and completeness, whoever runs what.
TEST(EventLoop, ManyThreadsLendAndPost) {
  EventLoop loop;
  loop.start("test-loop");
  constexpr int kThreads = 4, kPosts = 3000;
  int count = 0, ends = 0, inside = 0;  // on the loop only
  std::array<int, kThreads> last{};
  bool in_order = true, alone = true, end_scheduled = false;
  const auto work = [&](int thread, int number) {
    alone = alone && ++inside == 1 && loop.in_loop();
    in_order = in_order && last[static_cast<std::size_t>(thread)] + 1 == number;
    last[static_cast<std::size_t>(thread)] = number;
    ++count;
    if (!std::exchange(end_scheduled, true)) {
      loop.at_end_of_turn([&] {
        end_scheduled = false;
        ++ends;
      });
    }
    --inside;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1; i <= kPosts; ++i) {
        const auto one = [&work, t, i] { work(t, i); };
        switch ((i + t) % 8) {
          case 0:
            loop.post(one);
            break;
          case 1:
            loop.post_anywhere(one);
            break;
          case 2:
            loop.run_and_wait(one);
            break;
          default:
            loop.run_here_or_post(one);
            loop.help();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  loop.run_and_wait([&] {
    EXPECT_EQ(count, kThreads * kPosts);
    EXPECT_TRUE(in_order);
    EXPECT_TRUE(alone);
    EXPECT_GT(ends, 0);
  });
}

// stop(), a new start and the end of the loop, while others lend themselves and arm timers.
TEST(EventLoop, StopsAndEndsWhileThreadsLend) {
  constexpr int kRounds = 6, kThreads = 3;
  for (int round = 0; round < kRounds; ++round) {
    auto loop = std::make_unique<EventLoop>();
    loop->start("test-loop");
    const auto inside = loop->impl().shared_from_this();  // what connections keep, and may post to for ever
    std::atomic<bool> over{false};
    std::atomic<int> ran{0};
    std::unique_ptr<EventLoop::Timer> timer;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; !over; ++i) {
          inside->run_here_or_post([&, i] {
            ++ran;
            timer = inside->after(std::chrono::microseconds(i % 100), [&] { ++ran; });
            inside->at_end_of_turn([&] { ++ran; });
            if (i % 64 == 63) inside->post([&] { ++ran; });
          });
          inside->help();
          std::this_thread::yield();
        }
      });
    }
    for (int restart = 0; restart < round % 3; ++restart) {
      while (ran < 100) std::this_thread::yield();
      loop->stop();
      loop->join();
      ran = 0;
      loop->start("test-loop");
    }
    while (ran < 100) std::this_thread::yield();
    loop.reset();  // stops and joins
    over = true;
    for (std::thread& thread : threads) thread.join();
    timer.reset();
  }
}

// A thread that is being waited for on the loop can neither lend itself nor be waited for by the loop's thread.
TEST(EventLoop, WhoWaitsForLendersOnTheLoopIsNotWaitedFor) {
  EventLoop loop;
  loop.start("test-loop");
  std::array<std::atomic<bool>, 3> over{};
  std::vector<std::thread> lenders;
  for (auto& end : over) {
    lenders.emplace_back([&loop, &end] {
      while (!end) loop.run_here_or_post([] {});
    });
  }
  for (std::size_t i = 0; i < lenders.size(); ++i) {
    loop.run_and_wait([&] {  // as a worker does with its compute threads
      over[i] = true;
      lenders[i].join();
    });
  }
}

// ---- what turns take

void burn(std::chrono::nanoseconds cpu) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  for (const auto until = now() + cpu; now() < until;) {
  }
}

TEST(EventLoop, ATurnThatComputesIsSeen) {
  EventLoop loop;
  TurnWatch& watch = loop.watch_turns();
  loop.start("test-loop");
  loop.run_and_wait([] { burn(20ms); });
  loop.run_and_wait([&] {
    EXPECT_GE(watch.long_cpu(), 1u);
    EXPECT_GE(watch.long_own(), 1u);
    EXPECT_GE(watch.longest_cpu(), 20ms);
    EXPECT_GE(watch.longest_own(), watch.longest_cpu());
    EXPECT_GE(watch.wall().longest(), watch.wall().quantile(0.999));
    EXPECT_GT(watch.wall().quantile(1), 10ms);  // the clocks differ a little
    EXPECT_EQ(&watch, &loop.watch_turns());
  });
}

TEST(EventLoop, BlockingIsATurnsOwnTimeAndNoCpu) {
  EventLoop loop;
  loop.start("test-loop");
  TurnWatch* watch = nullptr;
  loop.run_and_wait([&] { watch = &loop.watch_turns(); });
  loop.run_and_wait([] { std::this_thread::sleep_for(30ms); });
  loop.run_and_wait([&] {
    EXPECT_GT(watch->longest_own(), 10ms);
    EXPECT_GE(watch->long_own(), 1u);
    EXPECT_LT(watch->longest_cpu(), 30ms);
  });
}

// By the CPU of the thread that runs it; and waiting, of which there is more here than anything else, is no turn.
TEST(EventLoop, TurnsOfThreadsThatLendThemselvesAreSeen) {
  EventLoop loop;
  TurnWatch& watch = loop.watch_turns();
  loop.start("test-loop");
  loop.run_and_wait([] {});
  burn(100ms);  // this thread's, before it has the turn
  lend_for(loop, [] {});
  loop.run_and_wait([&] { EXPECT_LT(watch.longest_cpu(), 100ms); });
  std::this_thread::sleep_for(20ms);
  lend_for(loop, [] { burn(20ms); });
  loop.run_and_wait([&] {
    EXPECT_GE(watch.long_cpu(), 1u);
    EXPECT_GE(watch.longest_cpu(), 20ms);
  });
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
