// What elementwise work costs, roughly, in nanoseconds per element on one core: to decide between computing twice and
// storing.
#pragma once

#include "array/expression.h"

namespace tegula::detail {

// Of this node alone.
double compute_cost(const Expression& expression);
double store_cost(DType dtype);  // writing an element to a chunk
double load_cost(DType dtype);   // reading it again
inline constexpr double kTaskCost = 30'000;

}  // namespace tegula::detail
