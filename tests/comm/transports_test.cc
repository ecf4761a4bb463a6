#include "tests/comm/transport_conformance.h"

namespace tegula::test {

INSTANTIATE_TEST_SUITE_P(Transports, TransportConformance,
                         testing::Values(TransportUnderTest{"InprocOneLoop", "inproc://", false},
                                         TransportUnderTest{"InprocTwoLoops", "inproc://", true},
                                         TransportUnderTest{"TcpOneLoop", "tcp://127.0.0.1:0", false},
                                         TransportUnderTest{"TcpTwoLoops", "tcp://127.0.0.1:0", true},
                                         TransportUnderTest{"TcpIpv6", "tcp://[::1]:0", true}),
                         [](const auto& test) { return test.param.name; });

}  // namespace tegula::test
