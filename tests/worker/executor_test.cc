// The threads that run kernels, with real kernels and no worker around them.
#include "worker/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <csignal>
#include <cstring>
#include <limits>
#include <mutex>

#include "tests/worker/core_fixture.h"
#include "tests/worker/test_kernels.h"
#include "worker/nanny/vitals.h"

namespace tegula::worker {
namespace {

using testing::HasSubstr;

class ExecutorTest : public ::testing::Test {
 protected:
  void TearDown() override {
    open_gate();
    executor.reset();
    layers.clear();
    EXPECT_EQ(prepared_now(), 0) << "every prepared layer is released";
  }

  void start(unsigned threads, Vitals* vitals = nullptr) {
    const auto notify = [this] {
      const std::lock_guard lock(mutex);
      notified = true;
      changed.notify_all();
    };
    executor = std::make_unique<Executor>(threads, "test", pool, notify, Executor::Idling{}, vitals);
  }

  std::shared_ptr<LayerRun> layer(const std::string& kernel, std::int64_t tasks = 1, std::int64_t items = 4,
                                  Bytes params = {}, std::chrono::nanoseconds time_limit = {}) {
    auto description = std::make_shared<Layer>(*make_layer("layer", tasks, items));
    description->kernel = kernel;
    description->params = std::move(params);
    layers.push_back(std::make_shared<LayerRun>(description, *kernels, time_limit));
    return layers.back();
  }

  static Job job(std::uint64_t attempt, std::shared_ptr<LayerRun> of, std::uint32_t index = 0,
                 std::uint64_t granted = std::numeric_limits<std::uint64_t>::max()) {
    return {AttemptId{attempt}, make_task_id(kSource, index), std::move(of), nullptr, granted, 0};
  }

  void submit(Job one) {
    std::vector<Job> jobs;
    jobs.push_back(std::move(one));
    executor->submit(jobs);
  }

  // The next `count` ends, waited for.
  std::vector<Event> ends(std::size_t count) {
    std::vector<Event> events;
    while (events.size() < count) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return notified; });
        notified = false;
      }
      std::vector<Event> more;
      executor->collect(more);
      std::move(more.begin(), more.end(), std::back_inserter(events));
    }
    return events;
  }

  ErrorInfo failure(const std::string& kernel) {
    submit(job(1, layer(kernel)));
    const auto events = ends(1);
    const auto* failed = std::get_if<KernelFailed>(&events[0]);
    EXPECT_NE(failed, nullptr) << kernel << " did not fail";
    return failed == nullptr ? ErrorInfo{} : failed->error;
  }

  std::shared_ptr<const KernelRegistry> kernels = test_kernels();
  std::shared_ptr<BufferPool> pool = std::make_shared<BufferPool>(1 << 20);
  std::vector<std::shared_ptr<LayerRun>> layers;
  std::unique_ptr<Executor> executor;
  std::mutex mutex;
  std::condition_variable changed;
  bool notified = false;
};

TEST_F(ExecutorTest, RunsManyTasksOnSeveralThreads) {
  start(3);
  const auto of = layer("test.index", 500, 8);
  std::vector<Job> jobs;
  for (std::uint32_t i = 0; i < 500; ++i) jobs.push_back(job(i + 1, of, i));
  executor->submit(jobs);
  EXPECT_TRUE(jobs.empty());
  std::vector<bool> seen(500);
  for (Event& event : ends(500)) {
    auto& finished = std::get<KernelFinished>(event);
    ASSERT_EQ(finished.outputs.size(), 1u);
    const Chunk& chunk = finished.outputs[0];
    EXPECT_EQ(chunk.shape(), (Shape{8}));
    EXPECT_EQ(finished.need, 64u);
    const auto index = static_cast<std::size_t>(finished.attempt) - 1;
    EXPECT_EQ(reinterpret_cast<const double*>(chunk.data())[7], static_cast<double>(index));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(chunk.data()) % kBufferAlignment, 0u);
    seen[index] = true;
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](bool b) { return b; }));
  EXPECT_EQ(prepared_now(), 1) << "a layer is prepared once";
}

TEST_F(ExecutorTest, InputsReachTheKernelAsGridsOfViews) {
  start(1);
  auto description = std::make_shared<Layer>();
  description->name = "sum";
  description->kernel = "test.sum";
  description->grid = {1, 1};
  description->outputs.push_back({DType::kFloat64, ChunkGrid({DimChunks(2, 2), DimChunks(3, 3)})});
  const auto of = std::make_shared<LayerRun>(description, *kernels);
  Chunk plain = Chunk::allocate(DType::kFloat64, {2, 3});
  Chunk turned = Chunk::allocate(DType::kFloat64, {3, 2});
  for (int i = 0; i < 6; ++i) {
    reinterpret_cast<double*>(plain.mutable_data())[i] = i;
    reinterpret_cast<double*>(turned.mutable_data())[i] = 10 * i;
  }
  auto inputs = std::make_shared<TaskInputs>();
  inputs->pieces = {plain, Chunk(DType::kFloat64, {2, 3}, {8, 16}, turned.buffer(), 0), plain};
  inputs->ndim = {2, 1};
  inputs->grids = {1, 2, 1};  // two pieces in a 1 x 2 grid, and one
  Job one = job(1, of);
  one.inputs = inputs;
  submit(std::move(one));
  auto events = ends(1);
  const Chunk& out = std::get<KernelFinished>(events[0]).outputs[0];
  const auto* values = reinterpret_cast<const double*>(out.data());
  for (int r = 0; r < 2; ++r) {
    for (int c = 0; c < 3; ++c) EXPECT_EQ(values[r * 3 + c], 2 * (r * 3 + c) + 10 * (c * 2 + r));
  }
}

TEST_F(ExecutorTest, WhateverGoesWrongIsTheTasksError) {
  start(1);
  ErrorInfo error = failure("test.fail");
  EXPECT_EQ(error.code, ErrorCode::kKernelFailed);
  EXPECT_EQ(error.message, "it is task 0 that fails");
  error = failure("test.throw");
  EXPECT_EQ(error.code, ErrorCode::kKernelFailed);
  EXPECT_EQ(error.message, "thrown by a kernel");
  error = failure("test.badalloc");
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(error.message, HasSubstr("32 bytes"));
  error = failure("test.badplan");
  EXPECT_EQ(error.code, ErrorCode::kKernelFailed);
  EXPECT_THAT(error.message, HasSubstr("planned float64 (2, 2, 2) for output 0 where the layer declares float64 (4,)"));
  error = failure("test.refuse");
  EXPECT_EQ(error.code, ErrorCode::kValue);
  EXPECT_EQ(error.message, "these parameters are no good");
  error = failure("test.nowhere");
  EXPECT_EQ(error.code, ErrorCode::kKernelNotFound);
  EXPECT_THAT(error.message, testing::AllOf(HasSubstr("'test.nowhere'"), HasSubstr("test.nop")));
}

TEST_F(ExecutorTest, MemoryThatCannotBeHadIsTheTasksError) {
  start(1);
  ByteWriter params;
  params.put(std::uint64_t{1} << 62);
  submit(job(1, layer("test.scratch", 1, 4, params.take())));
  auto events = ends(1);
  const auto& failed = std::get<KernelFailed>(events[0]);
  EXPECT_EQ(failed.error.code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(failed.error.message, HasSubstr(std::to_string((std::uint64_t{1} << 62) + 32)));
  EXPECT_EQ(pool->bytes_in_use(), 0u);
}

TEST_F(ExecutorTest, PlanBeyondTheGrantDoesNotRun) {
  start(1);
  ByteWriter params;
  params.put(std::uint64_t{100});
  const auto of = layer("test.scratch", 1, 4, params.take());
  submit(job(1, of, 0, 131));
  auto events = ends(1);
  EXPECT_EQ(std::get<KernelNeeds>(events[0]).need, 132u);
  submit(job(1, of, 0, 132));
  events = ends(1);
  EXPECT_EQ(std::get<KernelFinished>(events[0]).need, 132u);
}

TEST_F(ExecutorTest, WhatHasNotBegunCanBeRecalledAndWhatRunsCanBeCancelled) {
  start(1);
  close_gate();
  const auto gate = layer("test.gate");
  submit(job(1, gate));
  wait_until_at_gate(1);
  submit(job(2, gate));
  EXPECT_TRUE(executor->recall(AttemptId{2}, false));
  EXPECT_FALSE(executor->recall(AttemptId{2}, false));
  EXPECT_FALSE(executor->recall(AttemptId{1}, false)) << "it runs";
  EXPECT_FALSE(executor->recall(AttemptId{1}, true));
  auto events = ends(1);
  EXPECT_EQ(std::get<KernelFailed>(events[0]).attempt, AttemptId{1});
  EXPECT_EQ(std::get<KernelFailed>(events[0]).error.code, ErrorCode::kCancelled);
  // The flag was for that attempt alone.
  submit(job(3, gate));
  wait_until_at_gate(1);
  open_gate();
  events = ends(1);
  EXPECT_EQ(std::get<KernelFinished>(events[0]).attempt, AttemptId{3});
}

TEST_F(ExecutorTest, AKernelThatStopsWhenItsTimeIsOverFailsAsThat) {
  start(1);
  close_gate();
  submit(job(1, layer("test.gate", 1, 4, {}, std::chrono::nanoseconds(1))));
  wait_until_at_gate(1);
  const Executor::Overdue overdue = executor->check_limits(std::chrono::hours(1));
  EXPECT_TRUE(overdue.limited);
  EXPECT_EQ(overdue.stuck, 0u);
  const auto events = ends(1);
  EXPECT_EQ(std::get<KernelFailed>(events[0]).error.code, ErrorCode::kTimeout);
  submit(job(2, layer("test.index")));  // the thread is there for others
  EXPECT_EQ(std::get<KernelFinished>(ends(1)[0]).attempt, AttemptId{2});
  EXPECT_FALSE(executor->check_limits(std::chrono::hours(1)).limited);
}

TEST_F(ExecutorTest, ATaskFailsWithoutItsKernelWhenThatDoesNotStop) {
  Vitals vitals;
  start(1, &vitals);
  close_gate();
  submit(job(7, layer("test.deaf", 1, 4, {}, std::chrono::nanoseconds(1))));
  wait_until_at_gate(1);
  EXPECT_THAT(vitals.executing(), testing::ElementsAre(AttemptId{7}));
  EXPECT_EQ(executor->check_limits({}).stuck, 1u);
  EXPECT_EQ(executor->check_limits({}).stuck, 0u) << "told once";
  EXPECT_EQ(std::get<KernelFailed>(ends(1)[0]).error.code, ErrorCode::kTimeout);
  EXPECT_THAT(vitals.executing(), testing::IsEmpty()) << "nobody's task any more";
  open_gate();
  submit(job(8, layer("test.index")));
  const auto events = ends(1);
  ASSERT_EQ(events.size(), 1u) << "the late end of the other is for nobody";
  EXPECT_EQ(std::get<KernelFinished>(events[0]).attempt, AttemptId{8});
}

TEST_F(ExecutorTest, AfterAbandonAllOldEndsAreForNobody) {
  start(1);
  close_gate();
  const auto gate = layer("test.gate");
  submit(job(1, gate));
  wait_until_at_gate(1);
  submit(job(2, gate));
  executor->abandon_all();
  open_gate();
  submit(job(2, layer("test.index")));  // the same number in another life
  auto events = ends(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<KernelFinished>(events[0]).attempt, AttemptId{2});
  EXPECT_EQ(reinterpret_cast<const double*>(std::get<KernelFinished>(events[0]).outputs[0].data())[0], 0.0);
}

// As in one process with its scheduler: the thread that ended a kernel hands out the next jobs.
TEST_F(ExecutorTest, JobsMayBeSubmittedByTheThreadThatEndedOne) {
  constexpr std::uint64_t kJobs = 3000;
  const auto of = layer("test.index", kJobs);
  std::uint64_t given = 1, ended = 0;  // guarded by mutex
  executor = std::make_unique<Executor>(
      3, "test", pool,
      [&] {
        const std::lock_guard lock(mutex);
        std::vector<Event> events;
        executor->collect(events);
        std::vector<Job> jobs;
        for (std::size_t i = 0; i < 2 * events.size() && given < kJobs; ++i) {
          ++given;
          jobs.push_back(job(given, of, static_cast<std::uint32_t>(given - 1)));
        }
        executor->submit(jobs);
        ended += events.size();
        changed.notify_all();
      },
      Executor::Idling{});
  submit(job(1, of));
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ended == kJobs; });
}

TEST_F(ExecutorTest, AsManyThreadsAreCalledAsThereAreJobs) {
  start(3);
  const auto gate = layer("test.gate", 4);
  for (std::uint64_t round = 0; round < 50; ++round) {
    close_gate();
    for (std::uint32_t i = 0; i < 3; ++i) submit(job(4 * round + i + 1, gate, i));
    wait_until_at_gate(3);
    submit(job(4 * round + 4, gate, 3));  // for whoever is ready first
    open_gate();
    EXPECT_EQ(ends(4).size(), 4u);
  }
}

TEST_F(ExecutorTest, EndsWhileKernelsRunAndMoreAreWaiting) {
  start(2);
  close_gate();
  const auto gate = layer("test.gate", 10);
  std::vector<Job> jobs;
  for (std::uint32_t i = 0; i < 10; ++i) jobs.push_back(job(i + 1, gate, i));
  executor->submit(jobs);
  wait_until_at_gate(2);
  executor.reset();  // running kernels are cancelled, the rest is dropped
}

TEST_F(ExecutorTest, KernelsRunWithSignalsBlocked) {
  static bool blocked;
  blocked = false;
  static const tegula_kernel kernel = {
      "test.signals",
      [](const void*, size_t, void** prepared, tegula_context*) {
        *prepared = nullptr;
        return 0;
      },
      [](void*) {},
      [](const tegula_task* task, tegula_output_plan* outputs, size_t* scratch, tegula_context*) {
        outputs[0].dtype = task->declared[0].dtype;
        outputs[0].ndim = 1;
        outputs[0].shape[0] = task->declared[0].shape[0];
        *scratch = 0;
        return 0;
      },
      [](const tegula_task*, tegula_array*, void*, tegula_context*) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        blocked =
            sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1;
        return 0;
      }};
  const tegula_library library = {TEGULA_KERNEL_ABI, "signals", "", 1, &kernel};
  KernelRegistry registry;
  registry.add(library, "here");
  auto description = std::make_shared<Layer>(*make_layer("layer", 1, 1));
  description->kernel = "test.signals";
  start(1);
  submit(job(1, std::make_shared<LayerRun>(description, registry)));
  ends(1);
  EXPECT_TRUE(blocked);
  sigset_t own;
  pthread_sigmask(SIG_SETMASK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGTERM), 0) << "the thread that makes the executor keeps its mask";
}

}  // namespace
}  // namespace tegula::worker
