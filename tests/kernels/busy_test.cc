// tegula.busy: does as many iterations as asked for, and stops when its task is no longer wanted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

using ::testing::HasSubstr;

Bytes iterations(std::uint64_t count) {
  ByteWriter writer;
  writer.put(count);
  return writer.take();
}

TestTask with_output(DType dtype, Shape shape) {
  TestTask task;
  task.declared = {{dtype, std::move(shape), {}}};
  return task;
}

TEST(BusyKernel, IteratesAsOftenAsAskedOnEveryLevel) {
  for (const std::uint64_t count : {0, 1, 7, 4096, 4097, 20000}) {
    std::vector<double> expected(64);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = static_cast<double>(i);
      for (std::uint64_t k = 0; k < count; ++k) expected[i] = expected[i] * 0.5 + 1;
    }
    for (std::size_t i = 0; i < 6; ++i) expected.push_back(expected[i]);
    for (const Library& library : Library::all()) {
      const auto result =
          library.run_one("tegula.busy", iterations(count), with_output(DType::kFloat64, {2, 35})).values<double>();
      EXPECT_EQ(result, expected) << count << " " << library.level();
    }
  }
}

TEST(BusyKernel, RefusesWhatItCannotRead) {
  const auto message_of = [](const Bytes& params, const TestTask& task) -> std::string {
    try {
      Library::best().run("tegula.busy", params, task);
    } catch (const KernelFailure& failure) {
      return failure.what();
    }
    return "";
  };
  const TestTask good = with_output(DType::kFloat64, {1});
  EXPECT_THAT(message_of(Bytes(7), good), HasSubstr("8 bytes wanted, 7 left"));
  EXPECT_THAT(message_of(Bytes(9), good), HasSubstr("1 bytes too many"));
  EXPECT_THAT(message_of(iterations(1), with_output(DType::kInt8, {1})), HasSubstr("int8"));
  EXPECT_NE(message_of(iterations(1), with_output(DType::kFloat64, {kUnknown})), "");
}

TEST(BusyKernel, StopsWhenItsTaskIsNoLongerWanted) {
  // 2^64 - 1 iterations would take centuries; the third question is answered with yes.
  const tegula_kernel& kernel = Library::best().kernel("tegula.busy");
  struct Asked {
    int times = 0;
    std::string failure;
  } asked;
  tegula_context context{
      &asked, [](tegula_context* self, const char* text) { static_cast<Asked*>(self->opaque)->failure = text; },
      [](tegula_context* self) { return ++static_cast<Asked*>(self->opaque)->times == 3 ? 1 : 0; }};
  const Bytes params = iterations(~std::uint64_t{0});
  void* prepared = nullptr;
  ASSERT_EQ(kernel.prepare(params.data(), params.size(), &prepared, &context), TEGULA_OK);
  tegula_task task{};
  task.prepared = prepared;
  EXPECT_EQ(kernel.run(&task, nullptr, nullptr, &context), TEGULA_ECANCELLED);
  EXPECT_EQ(asked.times, 3);
  EXPECT_THAT(asked.failure, HasSubstr("no longer wanted"));
  kernel.release(prepared);
}

}  // namespace
}  // namespace tegula::test
