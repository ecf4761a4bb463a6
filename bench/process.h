// What a process of this machine takes, by its number; 0 where there is none such.
#pragma once

#include <cstdint>

namespace tegula::bench {

std::uint64_t resident_bytes(int pid);       // VmRSS
std::uint64_t peak_resident_bytes(int pid);  // VmHWM
void reset_peak(int pid);                    // VmHWM counts from here on

}  // namespace tegula::bench
