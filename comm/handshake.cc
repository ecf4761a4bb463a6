#include "comm/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "src/bytes.h"

namespace tegula {

namespace {

// A record's header never changes, whatever the protocol version, so that versions can refuse each other in words.
//   magic 8 bytes | version u16 | kind u16 | body bytes u32
constexpr std::array<unsigned char, 8> kMagic = {'T', 'E', 'G', 'U', 'L', 'A', '\r', '\n'};
constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kMaxFeatures = 32;
constexpr std::size_t kMaxFeatureBytes = 64;
constexpr std::size_t kMaxReasonBytes = 1024;
constexpr std::string_view kConnectorLabel = "tegula handshake 1: connector";
constexpr std::string_view kAcceptorLabel = "tegula handshake 1: acceptor";

ErrorInfo make_error(ErrorCode code, std::string message) {
  ErrorInfo error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

// Text from a peer that has proved nothing yet goes to logs and terminals.
std::string printable(std::string text, std::size_t most) {
  text.resize(std::min(text.size(), most));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string describe(const Introduction& peer, const std::string& address) {
  std::string text = "the " + std::string(name_of(peer.role));
  if (!peer.name.empty()) text += " '" + peer.name + "'";
  return text + " at " + address;
}

std::string version_mismatch(std::uint16_t own, std::uint16_t peer, const std::string& address) {
  return address + " speaks version " + std::to_string(peer) + " of Tegula's protocol, this process version " +
         std::to_string(own) + ": install the same release on both sides";
}

}  // namespace

std::string_view name_of(Role role) {
  switch (role) {
    case Role::kScheduler:
      return "scheduler";
    case Role::kWorker:
      return "worker";
    case Role::kClient:
      return "client";
  }
  return "peer";
}

Introduction introduce(const CommOptions& options) {
  Introduction own;
  own.version = options.protocol_version != 0 ? options.protocol_version : kProtocolVersion;
  own.role = options.role;
  own.has_token = !options.token.empty();
  own.incarnation = options.incarnation;
  own.max_control_bytes = options.max_control_bytes;
  own.max_bulk_bytes = options.max_bulk_bytes;
  own.idle_timeout_ms =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options.idle_timeout).count());
  own.name = printable(options.name, kMaxPeerNameBytes);
  return own;
}

std::optional<ErrorInfo> check_introduction(const Introduction& own, const Introduction& peer,
                                            const std::string& peer_address) {
  if (own.version != peer.version) {
    return make_error(ErrorCode::kVersion, version_mismatch(own.version, peer.version, peer_address));
  }
  if (own.has_token && !peer.has_token) {
    return make_error(ErrorCode::kAuthentication,
                      describe(peer, peer_address) + " gave no cluster token, but one is needed here");
  }
  if (!own.has_token && peer.has_token) {
    return make_error(ErrorCode::kAuthentication,
                      describe(peer, peer_address) +
                          " uses a cluster token, and this process knows none: give it the " +
                          "scheduler file or the token");
  }
  const bool both_known = own.incarnation != Incarnation{} && peer.incarnation != Incarnation{};
  if (both_known && own.incarnation != peer.incarnation) {
    return make_error(ErrorCode::kConnection,
                      describe(peer, peer_address) +
                          " belongs to another life of the scheduler: it was restarted, or this is " +
                          "another cluster");
  }
  return std::nullopt;
}

ErrorInfo wrong_token(const std::string& peer_address) {
  return make_error(ErrorCode::kAuthentication,
                    "the cluster token of " + peer_address + " is not the one of this process");
}

std::optional<ErrorInfo> check_open(const CommOptions& options, bool loopback, const std::string& address) {
  if (!options.token.empty() || options.insecure || loopback) return std::nullopt;
  return make_error(ErrorCode::kAuthentication,
                    address +
                        " is beyond loopback and no cluster token is known: give the scheduler file or the token, or "
                        "allow it with --insecure");
}

Handshake::Handshake(Side side, const CommOptions& options, std::string peer_address)
    : side_(side),
      token_(options.token),
      peer_address_(std::move(peer_address)),
      own_(introduce(options)),
      expected_(side == Side::kConnector ? Kind::kChallenge : Kind::kHello),
      wanted_(kHeaderSize) {
  if (side_ == Side::kConnector) send_introduction(Kind::kHello);
}

std::size_t Handshake::feed(std::span<const std::byte> bytes) {
  std::size_t consumed = 0;
  while (!done_ && !error_ && consumed < bytes.size()) {
    const std::size_t n = std::min(wanted_ - input_.size(), bytes.size() - consumed);
    const auto part = bytes.subspan(consumed, n);
    input_.insert(input_.end(), part.begin(), part.end());
    consumed += n;
    // A foreign protocol is recognised by its first bytes: it may never send as many as a header has.
    const std::size_t magic = std::min(input_.size(), kMagic.size());
    if (std::memcmp(input_.data(), kMagic.data(), magic) != 0) {
      fail(ErrorCode::kConnection,
           peer_address_ + " does not speak Tegula's protocol (version " + std::to_string(own_.version) + " here)");
      break;
    }
    if (input_.size() < wanted_ || !take_header()) continue;
    std::vector<std::byte> record;
    record.swap(input_);
    wanted_ = kHeaderSize;
    ByteReader header(std::span<const std::byte>(record).subspan(8, 8));
    const auto version = header.get<std::uint16_t>();
    const auto kind = static_cast<Kind>(header.get<std::uint16_t>());
    const auto body = std::span<const std::byte>(record).subspan(kHeaderSize);
    try {
      if (kind == Kind::kRefused) {
        take_refusal(version, body);
      } else if (version != own_.version) {
        fail(ErrorCode::kVersion, version_mismatch(own_.version, version, peer_address_));
      } else if (kind != expected_) {
        fail(ErrorCode::kConnection, peer_address_ + " does not follow the handshake (record " +
                                         std::to_string(static_cast<unsigned>(kind)) + ", expected " +
                                         std::to_string(static_cast<unsigned>(expected_)) + ")");
      } else {
        if (kind == Kind::kHello) hello_ = record;
        if (kind == Kind::kChallenge) challenge_ = record;
        take_record(kind, body);
      }
    } catch (const ValueError& error) {
      fail(ErrorCode::kConnection, peer_address_ + " sent a malformed handshake: " + error.what());
    }
  }
  return consumed;
}

// True when the record is complete, i.e. has no body or has it already.
bool Handshake::take_header() {
  if (wanted_ > kHeaderSize) return true;
  ByteReader header(std::span<const std::byte>(input_).subspan(12, 4));
  const auto body = header.get<std::uint32_t>();
  if (body > kMaxHandshakeBody) {
    fail(ErrorCode::kConnection, peer_address_ + " sent a handshake record of " + std::to_string(body) +
                                     " bytes (at most " + std::to_string(kMaxHandshakeBody) + ")");
    return false;
  }
  wanted_ += body;
  return body == 0;
}

void Handshake::take_record(Kind kind, std::span<const std::byte> body) {
  switch (kind) {
    case Kind::kHello:
      take_introduction(body);
      if (error_) return;
      send_introduction(Kind::kChallenge);
      expected_ = Kind::kProof;
      return;
    case Kind::kChallenge:
      take_introduction(body);
      if (error_) return;
      send_record(Kind::kProof, proof(kConnectorLabel));
      expected_ = Kind::kAccepted;
      return;
    case Kind::kProof:
      if (!check_proof(kConnectorLabel, body)) return fail(wrong_token(peer_address_));
      send_record(Kind::kAccepted, proof(kAcceptorLabel));
      done_ = true;
      return;
    case Kind::kAccepted:
      if (!check_proof(kAcceptorLabel, body)) return fail(wrong_token(peer_address_));
      done_ = true;
      return;
    case Kind::kRefused:
      return;
  }
}

void Handshake::send_introduction(Kind kind) {
  Nonce nonce;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), static_cast<int>(nonce.size())) != 1) {
    throw Error(ErrorCode::kInternal, "no random numbers from OpenSSL");
  }
  ByteWriter body;
  body.put(own_.role);
  body.put(static_cast<std::uint8_t>(own_.has_token));
  body.put(own_.incarnation);
  body.put(own_.max_control_bytes);
  body.put(own_.max_bulk_bytes);
  body.put(own_.idle_timeout_ms);
  body.put_bytes(nonce);
  body.put_string(own_.name);
  body.put(static_cast<std::uint32_t>(own_.features.size()));
  for (const std::string& feature : own_.features) body.put_string(feature);
  const std::size_t before = output_.size();
  send_record(kind, body.bytes());
  auto& sent = kind == Kind::kHello ? hello_ : challenge_;
  sent.assign(output_.begin() + static_cast<std::ptrdiff_t>(before), output_.end());
}

void Handshake::take_introduction(std::span<const std::byte> body) {
  ByteReader reader(body);
  peer_.version = own_.version;
  const auto role = reader.get<std::uint8_t>();
  if (role > static_cast<std::uint8_t>(Role::kClient)) throw ValueError("unknown role " + std::to_string(role));
  peer_.role = static_cast<Role>(role);
  const auto has_token = reader.get<std::uint8_t>();
  if (has_token > 1) throw ValueError("token flag " + std::to_string(has_token));
  peer_.has_token = has_token == 1;
  peer_.incarnation = reader.get<Incarnation>();
  peer_.max_control_bytes = reader.get<std::uint64_t>();
  peer_.max_bulk_bytes = reader.get<std::uint64_t>();
  peer_.idle_timeout_ms = reader.get<std::uint64_t>();
  if (reader.get_bytes().size() != sizeof(Nonce)) throw ValueError("a nonce of another size");
  peer_.name = printable(reader.get_string(), kMaxPeerNameBytes);
  const auto features = reader.get<std::uint32_t>();
  if (features > kMaxFeatures) throw ValueError(std::to_string(features) + " features");
  for (std::uint32_t i = 0; i < features; ++i) {
    peer_.features.push_back(printable(reader.get_string(), kMaxFeatureBytes));
  }
  reader.expect_end();
  if (auto error = check_introduction(own_, peer_, peer_address_)) fail(std::move(*error));
}

void Handshake::take_refusal(std::uint16_t peer_version, std::span<const std::byte> body) {
  ByteReader reader(body);
  auto code = static_cast<ErrorCode>(reader.get<std::uint8_t>());
  const std::string reason = printable(reader.get_string(), kMaxReasonBytes);
  const bool known =
      code == ErrorCode::kConnection || code == ErrorCode::kVersion || code == ErrorCode::kAuthentication;
  if (!known) code = ErrorCode::kConnection;
  if (peer_version != own_.version) {
    error_ = make_error(ErrorCode::kVersion, version_mismatch(own_.version, peer_version, peer_address_));
  } else {
    error_ = make_error(code, peer_address_ + " refused the connection: " + reason);
  }
}

void Handshake::send_record(Kind kind, std::span<const std::byte> body) {
  ByteWriter header;
  header.put(own_.version);
  header.put(kind);
  header.put(static_cast<std::uint32_t>(body.size()));
  const auto magic = std::as_bytes(std::span(kMagic));
  output_.insert(output_.end(), magic.begin(), magic.end());
  output_.insert(output_.end(), header.bytes().begin(), header.bytes().end());
  output_.insert(output_.end(), body.begin(), body.end());
}

void Handshake::fail(ErrorCode code, std::string message) { fail(make_error(code, std::move(message))); }

// What the peer reads was written from its point of view: there, "this process" is us.
void Handshake::fail(ErrorInfo error) {
  ByteWriter body;
  body.put(error.code);
  body.put_string(error.message.substr(0, kMaxReasonBytes));
  send_record(Kind::kRefused, body.bytes());
  error_ = std::move(error);
}

std::vector<std::byte> Handshake::proof(std::string_view label) const {
  if (token_.empty()) return {};
  std::vector<unsigned char> text(label.begin(), label.end());
  for (const auto* record : {&hello_, &challenge_}) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(record->data());
    text.insert(text.end(), bytes, bytes + record->size());
  }
  std::vector<std::byte> mac(32);
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), token_.data(), static_cast<int>(token_.size()), text.data(), text.size(),
           reinterpret_cast<unsigned char*>(mac.data()), &size) == nullptr ||
      size != mac.size()) {
    throw Error(ErrorCode::kInternal, "OpenSSL cannot compute an HMAC");
  }
  return mac;
}

bool Handshake::check_proof(std::string_view label, std::span<const std::byte> body) const {
  const auto expected = proof(label);
  return body.size() == expected.size() && CRYPTO_memcmp(body.data(), expected.data(), expected.size()) == 0;
}

std::vector<std::byte> Handshake::take_output() {
  std::vector<std::byte> output;
  output.swap(output_);
  return output;
}

}  // namespace tegula
