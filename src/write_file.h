// A file for one program and one user: dumps, reports.
#pragma once

#include <string>
#include <string_view>

namespace tegula {

// Whole or not at all, with mode 0600: what was there stays if writing fails. What is no regular file (a pipe, a
// device) is written to as it is. Throws FileError naming path and reason.
void write_file(const std::string& path, std::string_view text);

}  // namespace tegula
