// The version of this build; CMakeLists.txt's project() has the same.
#pragma once

#include <string_view>

namespace tegula {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace tegula
