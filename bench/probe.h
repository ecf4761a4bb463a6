// What the machine itself takes to pass a word on: the yardstick beside which a scheduler's microseconds are read.
#pragma once

namespace tegula::bench {

struct Probe {
  double loopback_round_trip_us = 0;  // one byte there and back over TCP on loopback, between two threads that block
  double futex_hop_us = 0;            // one thread wakes another that sleeps on a futex; one way
};

// Medians of some thousand each; takes a fraction of a second. Throws ConnectionError.
Probe probe_machine();

}  // namespace tegula::bench
