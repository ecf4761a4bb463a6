#include "client/output_table.h"

#include <gtest/gtest.h>

namespace tegula::client {
namespace {

OutputTable::Ready ready(std::uint64_t nbytes) { return {ResultId{TaskId{7}, 0}, nbytes, {WorkerId{1}}}; }
ErrorInfo failure(ErrorCode code, const std::string& message) { return {code, message, {}, {}, {}, {}}; }

TEST(OutputTable, FinishesWhenEveryOutputHas) {
  OutputTable table(3, 0, 2);
  EXPECT_EQ(table.status(), FutureStatus::kPending);
  EXPECT_TRUE(table.set_ready(0, ready(10)));
  EXPECT_FALSE(table.settled());
  EXPECT_TRUE(table.set_ready(1, ready(20)));
  EXPECT_EQ(table.status(), FutureStatus::kFinished);
  EXPECT_EQ(table.nbytes(), 30u);
  EXPECT_TRUE(table.set_ready(1, ready(5))) << "news twice, as after a lost connection";
  EXPECT_EQ(table.nbytes(), 15u);
}

TEST(OutputTable, AnOutputOfNoTasksIsFinished) { EXPECT_EQ(OutputTable(1, 0, 0).status(), FutureStatus::kFinished); }

TEST(OutputTable, LostResultsArePendingAgain) {
  OutputTable table(3, 0, 1);
  EXPECT_FALSE(table.set_lost(0)) << "it never was there";
  table.set_ready(0, ready(10));
  EXPECT_TRUE(table.set_lost(0));
  EXPECT_EQ(table.status(), FutureStatus::kPending);
  EXPECT_EQ(table.nbytes(), 0u);
}

TEST(OutputTable, TheFirstErrorIsKept) {
  OutputTable table(3, 0, 3);
  table.set_error(2, failure(ErrorCode::kKernelFailed, "first"));
  table.set_error(0, failure(ErrorCode::kKernelFailed, "second"));
  EXPECT_EQ(table.status(), FutureStatus::kError);
  ASSERT_NE(table.first_error(), nullptr);
  EXPECT_EQ(table.first_error()->message, "first");
  EXPECT_EQ(table.error(0)->message, "second");
  EXPECT_EQ(table.error(1), nullptr);
}

TEST(OutputTable, CancelledStaysCancelledWhateverComesLate) {
  OutputTable table(3, 0, 2);
  table.set_ready(0, ready(10));
  EXPECT_TRUE(table.end_pending(FutureStatus::kCancelled));
  EXPECT_EQ(table.status(0), FutureStatus::kFinished);
  EXPECT_EQ(table.status(1), FutureStatus::kCancelled);
  EXPECT_FALSE(table.set_ready(1, ready(10)));
  EXPECT_FALSE(table.set_error(1, failure(ErrorCode::kKernelFailed, "late")));
  EXPECT_FALSE(table.end_pending(FutureStatus::kCancelled));
}

TEST(OutputTable, ANewWantMakesPendingWhatFailed) {
  OutputTable table(3, 0, 3);
  table.set_ready(0, ready(10));
  table.set_error(1, failure(ErrorCode::kKernelFailed, "x"));
  table.set_error(2, failure(ErrorCode::kCancelled, ""));
  EXPECT_EQ(table.status(2), FutureStatus::kCancelled);
  table.renew();
  EXPECT_EQ(table.status(0), FutureStatus::kFinished);
  EXPECT_EQ(table.status(1), FutureStatus::kPending);
  EXPECT_EQ(table.status(2), FutureStatus::kPending);
  EXPECT_EQ(table.first_error(), nullptr);
}

TEST(OutputTable, NumbersOutOfRangeChangeNothing) {
  OutputTable table(3, 0, 1);
  EXPECT_FALSE(table.set_ready(1, ready(10)));
  EXPECT_FALSE(table.set_error(9, failure(ErrorCode::kKernelFailed, "x")));
  EXPECT_FALSE(table.set_lost(1));
}

}  // namespace
}  // namespace tegula::client
