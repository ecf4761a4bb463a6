#pragma once

#include <string>

#include "tegula/client.h"

namespace tegula::client {

// One line of at most `columns` characters (more only where the numbers need them): a bar, what is done, tasks per
// second (`rate`), the time left or, at the end, taken.
std::string progress_text(const ProgressReport& now, double seconds, double rate, int columns);

}  // namespace tegula::client
