// Slices of files are read as slices: a view of a file that nobody else reads becomes part of the reading.
#pragma once

#include <vector>

#include "array/expression.h"

namespace tegula::detail {

// The same roots (same values in the same chunks), with slices and rechunks of files turned into reads of what they
// keep. Views that reorder, repeat or add dimensions stay above the reading.
std::vector<ExpressionPtr> narrow_file_reads(const std::vector<ExpressionPtr>& roots);

}  // namespace tegula::detail
