// The operations that a program may name: NumPy's names, on Tegula's arrays.
#pragma once

#include <string>
#include <vector>

#include "bench/eval/arguments.h"

namespace tegula::eval {

// Throws ValueError for an unknown operation (naming the nearest) or arguments that don't fit, and whatever the
// operation throws.
Array apply(const std::string& op, Arguments& arguments);
std::vector<std::string> operation_names();  // sorted

}  // namespace tegula::eval
