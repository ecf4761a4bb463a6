// The text inside a .npy header: a Python dictionary literal.
#pragma once

#include <string>
#include <string_view>

#include "src/npy.h"

namespace tegula {

// dtype, byte order, element order and shape from the header's text; data_offset stays 0. `path` is for messages.
// Throws FileError for text that is no such dictionary, DTypeError for dtypes that are not supported.
NpyHeader parse_npy_header(std::string_view text, const std::string& path);

}  // namespace tegula
