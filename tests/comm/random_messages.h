// Messages with random contents, and their text for comparison.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "comm/messages.h"

namespace tegula::test {

// Valid contents: what a peer of this protocol may send. `which` is the message's place in the variant.
msg::Message random_message(std::mt19937_64& random, std::size_t which);
msg::Message random_message(std::mt19937_64& random);
Chunk random_chunk(std::mt19937_64& random, std::int64_t most_elements);

// All of it, bytes of chunks included: equal texts mean equal messages.
std::string text_of(const msg::Message& message);

}  // namespace tegula::test
