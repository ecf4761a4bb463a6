// The other end of `tegula-bench transfer`, in a process of its own: the data server of a worker and, beside it, a
// program that does nothing but write the same bytes to a socket.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "src/ids.h"

namespace tegula::bench {

// What the source has: chunks of 2^log2 bytes, which begin with their place in a region of kSourceBytes.
inline constexpr std::size_t kSourceBytes = std::size_t{256} << 20;
inline constexpr unsigned kSmallestChunk = 12, kLargestChunk = 24;
ResultId source_result(unsigned log2, std::uint32_t index);
std::uint64_t first_word(unsigned log2, std::uint32_t index);

// Asks the bare program: `count` chunks of 2^log2 bytes, one after the other.
struct BareRequest {
  std::uint32_t log2 = 0;
  std::uint32_t count = 0;
};

// Serves until standard input ends; prints the data server's address and the bare program's port.
void serve_transfers();

// A process that does so.
class TransferSource {
 public:
  TransferSource();   // throws ConnectionError
  ~TransferSource();  // ends and reaps it
  TransferSource(const TransferSource&) = delete;
  TransferSource& operator=(const TransferSource&) = delete;
  const std::string& address() const { return address_; }
  std::uint16_t bare_port() const { return bare_port_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1;  // of the process: closed, it ends
  std::string address_;
  std::uint16_t bare_port_ = 0;
};

}  // namespace tegula::bench
