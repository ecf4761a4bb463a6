// How two processes agree to talk: version, identity and proof that both know the cluster token. No I/O: bytes in,
// bytes out, so that every stream transport shares it; inproc uses the rules without the bytes. docs/wire.md has the
// grammar.
//
//   connector                          acceptor
//   hello (identity, nonce)     ->
//                               <-     challenge (identity, nonce)      or refused (why)
//   proof (HMAC)                ->                                      or refused
//                               <-     accepted (HMAC)                  or refused
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/transport.h"
#include "tegula/error.h"

namespace tegula {

inline constexpr std::size_t kMaxHandshakeBody = 4096;  // bytes of one record, after its header
inline constexpr std::size_t kMaxPeerNameBytes = 256;

// What each side says about itself.
struct Introduction {
  std::uint16_t version = 0;
  Role role = Role::kClient;
  bool has_token = false;
  Incarnation incarnation{};
  std::uint64_t max_control_bytes = 0;  // of one frame that this side takes
  std::uint64_t max_bulk_bytes = 0;
  std::uint64_t idle_timeout_ms = 0;  // after which this side gives up a silent peer
  std::string name;
  std::vector<std::string> features;
};
Introduction introduce(const CommOptions& options);

// The rules that need no proof: version, incarnation, a token on one side only. nullopt: fine. `peer_address` is for
// the message.
std::optional<ErrorInfo> check_introduction(const Introduction& own, const Introduction& peer,
                                            const std::string& peer_address);
ErrorInfo wrong_token(const std::string& peer_address);
// Without a token only loopback is open, or everything with options.insecure.
std::optional<ErrorInfo> check_open(const CommOptions& options, bool loopback, const std::string& address);

std::string_view name_of(Role role);

class Handshake {
 public:
  enum class Side { kConnector, kAcceptor };
  // `peer_address` for messages.
  Handshake(Side side, const CommOptions& options, std::string peer_address);

  // Takes bytes from the peer; consumes at most what belongs to the handshake and returns how many that were. Call
  // again when done() is false and more arrive.
  std::size_t feed(std::span<const std::byte> bytes);
  // What is to be sent now; empties it. Also to be sent when failed(): it tells the peer why.
  std::vector<std::byte> take_output();

  bool done() const { return done_; }                               // established, once the output is sent
  const std::optional<ErrorInfo>& error() const { return error_; }  // failed
  const Introduction& peer() const { return peer_; }                // valid when done(); its name may be known earlier

 private:
  enum class Kind : std::uint16_t { kHello = 0, kChallenge = 1, kProof = 2, kAccepted = 3, kRefused = 4 };
  using Nonce = std::array<std::byte, 32>;

  bool take_header();
  void take_record(Kind kind, std::span<const std::byte> body);
  void take_introduction(std::span<const std::byte> body);
  void take_refusal(std::uint16_t peer_version, std::span<const std::byte> body);
  void send_introduction(Kind kind);
  void send_record(Kind kind, std::span<const std::byte> body);
  void fail(ErrorInfo error);  // and tells the peer
  void fail(ErrorCode code, std::string message);
  void prove(Kind kind);
  bool check_proof(std::string_view label, std::span<const std::byte> body) const;
  std::vector<std::byte> proof(std::string_view label) const;

  Side side_;
  std::string token_;
  std::string peer_address_;
  Introduction own_;
  Introduction peer_;
  Kind expected_;
  std::vector<std::byte> input_;  // the record being received
  std::size_t wanted_;            // its size as far as known
  std::vector<std::byte> output_;
  std::vector<std::byte> hello_;  // both records whole, as they went over the wire: what the proofs are about
  std::vector<std::byte> challenge_;
  bool done_ = false;
  std::optional<ErrorInfo> error_;
};

}  // namespace tegula
