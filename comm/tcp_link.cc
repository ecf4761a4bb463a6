#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "comm/tcp_link_asio.h"
#include "tegula/error.h"

namespace tegula {

namespace {

constexpr std::size_t kMaxVectors = 64;             // of one write
constexpr std::size_t kMaxBytesPerTurn = 16 << 20;  // written by one connection before others get their turn
// After our last byte the peer is given this long to end its side, so that the kernel doesn't answer its late bytes
// with a reset, which could destroy ours before they are read.
constexpr std::chrono::seconds kLinger{1};
constexpr std::chrono::milliseconds kStopped{500};  // a timer so late was not merely busy

// 0 in the options: never.
std::chrono::nanoseconds or_never(std::chrono::nanoseconds timeout) {
  return timeout.count() > 0 ? timeout : std::chrono::hours(24 * 365);
}

std::string seconds_text(std::chrono::nanoseconds duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

}  // namespace

std::shared_ptr<TcpLink> TcpLink::make(LoopPtr loop, asio::ip::tcp::socket socket, PeerInfo peer,
                                       const CommOptions& options, const PeerLimits& peer_limits,
                                       std::vector<std::byte> early_bytes) {
  std::shared_ptr<TcpLink> link(
      new TcpLink(loop, std::move(socket), std::move(peer), options, peer_limits, std::move(early_bytes)));
  loop->add_resident(link.get(), std::shared_ptr<LoopResident>(link, link.get()));
  return link;
}

TcpLink::TcpLink(LoopPtr loop, asio::ip::tcp::socket socket, PeerInfo peer, const CommOptions& options,
                 const PeerLimits& peer_limits, std::vector<std::byte> early_bytes)
    : Link(std::move(loop), std::move(peer)),
      socket_(std::move(socket)),
      idle_timeout_(or_never(options.idle_timeout)),
      keep_alive_interval_(std::min(idle_timeout_, or_never(peer_limits.idle_timeout)) / 3),
      write_timeout_(or_never(options.write_timeout)),
      max_queued_control_bytes_(options.max_queued_control_bytes),
      reader_({options.max_control_bytes, options.max_bulk_bytes}, options.allocator),
      writer_(peer_limits.frame),
      early_bytes_(std::move(early_bytes)),
      last_read_(Clock::now()),
      last_write_(last_read_) {}

TcpLink::~TcpLink() { loop()->remove_resident(this); }

void TcpLink::loop_gone() {
  state_ = State::kClosed;
  timer_.reset();
  socket_.reset();
}

void TcpLink::finish() {
  if (state_ == State::kClosed) return;
  loop_gone();
}

void TcpLink::fail(std::string reason) {
  if (state_ == State::kClosed) return;
  finish();
  report_closed(std::move(reason));
}

void TcpLink::start() {
  if (started_ || state_ == State::kClosed) return;
  started_ = true;
  arm_timer();
  if (!early_bytes_.empty()) {
    std::vector<msg::Message> batch;
    std::string broken;
    try {
      reader_.feed(early_bytes_, batch);
    } catch (const Error& error) {
      broken = error.what();
    } catch (const std::bad_alloc&) {
      broken = "no memory for a message from the peer";
    }
    early_bytes_ = {};
    take_batch(std::move(batch));
    if (!broken.empty()) return fail(std::move(broken));
  }
  if (state_ != State::kClosed) read();
}

// ---- reading

// What asio reads into, kept in one place: a copy of it refers to the same.
struct TcpLink::ReadBuffers {
  const asio::mutable_buffer* first;
  const asio::mutable_buffer* last;
  const asio::mutable_buffer* begin() const { return first; }
  const asio::mutable_buffer* end() const { return last; }
};

void TcpLink::read() {
  read_buffers_.clear();
  for (const std::span<std::byte> target : reader_.targets()) read_buffers_.emplace_back(target.data(), target.size());
  socket_->async_read_some(ReadBuffers{read_buffers_.data(), read_buffers_.data() + read_buffers_.size()},
                           loop()->in_turn([self = self()](const asio::error_code& error, std::size_t bytes) {
                             self->on_read(error, bytes);
                           }));
}

void TcpLink::on_read(const asio::error_code& error, std::size_t bytes) {
  if (state_ == State::kClosed) return;
  if (error) {
    if (state_ != State::kOpen) return finish();
    if (write_error_ != 0) return fail(std::string("the connection broke: ") + std::strerror(write_error_));
    if (error == asio::error::eof) {
      return fail(reader_.mid_frame() ? "the connection ended in the middle of a message"
                                      : "the peer closed the connection");
    }
    return fail("the connection broke: " + error.message());
  }
  last_read_ = Clock::now();
  if (state_ != State::kOpen) return read();  // nobody listens any more: what is in the reader's memory is overwritten
  counters_.bytes_in += bytes;
  std::vector<msg::Message> batch;
  std::string broken;
  try {
    reader_.received(bytes, batch);
  } catch (const Error& bad) {
    broken = bad.what();
  } catch (const std::bad_alloc&) {
    broken = "no memory for a message from the peer";
  }
  take_batch(std::move(batch));
  if (!broken.empty()) return fail(std::move(broken));
  if (state_ != State::kClosed) read();
}

void TcpLink::take_batch(std::vector<msg::Message> batch) {
  if (batch.empty()) return;
  counters_.messages_in += batch.size();
  deliver(std::move(batch));
}

// ---- writing

void TcpLink::send(msg::Message message) {
  if (state_ != State::kOpen) return;
  if (writer_.queued_bytes() == 0) last_write_ = Clock::now();
  try {
    writer_.add(std::move(message));
  } catch (const ValueError& error) {
    return fail(error.what());
  }
  ++counters_.messages_out;
  if (writer_.queued_control_bytes() > max_queued_control_bytes_) {
    return fail("the peer does not keep up: more than " + std::to_string(max_queued_control_bytes_) +
                " bytes of messages are queued for it");
  }
  schedule_flush();
}

void TcpLink::schedule_flush() {
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop()->at_end_of_turn([self = self()] {
    self->flush_scheduled_ = false;
    self->flush();
  });
}

// While earlier frames wait for the peer, messages stay as they are and later leave in fewer frames.
void TcpLink::flush() {
  if (state_ == State::kClosed || waiting_writable_ || write_error_ != 0) return;
  write();
}

// After a failed write the peer's last words may still be waiting to be read; reading ends the connection when it comes
// to their end.
void TcpLink::write() {
  std::size_t budget = kMaxBytesPerTurn;
  while (true) {
    if (!writer_.has_frames()) {
      if (!writer_.has_messages()) return all_written();
      try {
        writer_.encode();
      } catch (const std::exception& error) {  // no memory for the frames
        return fail(std::string("cannot encode messages for the peer: ") + error.what());
      }
    }
    if (budget == 0) return schedule_flush();
    std::array<iovec, kMaxVectors> vectors;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = writer_.next(vectors);
    const ssize_t sent = ::sendmsg(socket_->native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_writable();
      write_error_ = errno;
      if (state_ != State::kOpen) finish();
      return;
    }
    writer_.written(static_cast<std::size_t>(sent));
    counters_.bytes_out += static_cast<std::uint64_t>(sent);
    last_write_ = Clock::now();
    budget -= std::min(budget, static_cast<std::size_t>(sent));
  }
}

void TcpLink::wait_writable() {
  waiting_writable_ = true;
  socket_->async_wait(asio::ip::tcp::socket::wait_write,
                      loop()->in_turn([self = self()](const asio::error_code& error) {
                        self->waiting_writable_ = false;
                        if (!error) self->flush();
                      }));
}

// ---- the end

void TcpLink::shut() {
  if (state_ != State::kOpen) return;
  state_ = State::kFlushing;
  if (!started_) {  // closed in the turn it was handed over in
    started_ = true;
    arm_timer();
    read();
  }
  flush();
}

void TcpLink::all_written() {
  if (state_ != State::kFlushing) return;
  state_ = State::kLingering;
  linger_until_ = Clock::now() + kLinger;
  asio::error_code ignored;
  socket_->shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  arm_timer();
}

// ---- time

void TcpLink::arm_timer() {
  std::chrono::nanoseconds delay = std::min({idle_timeout_ / 3, keep_alive_interval_ / 2, write_timeout_ / 2});
  if (state_ == State::kLingering) delay = std::min<std::chrono::nanoseconds>(delay, kLinger);
  delay = std::max<std::chrono::nanoseconds>(delay, std::chrono::milliseconds(1));
  timer_due_ = Clock::now() + delay;
  timer_ = loop()->after(delay, [weak = std::weak_ptr<Link>(shared_from_this())] {
    if (const auto link = weak.lock()) static_cast<TcpLink&>(*link).tick();
  });
}

void TcpLink::tick() {
  if (state_ == State::kClosed) return;
  const auto now = Clock::now();
  if (state_ == State::kLingering) {
    if (now >= linger_until_) return finish();
    return arm_timer();
  }
  // While this process was stopped it neither read nor wrote: that is no silence of the peer.
  const auto late = now - timer_due_;
  const bool stopped = late > kStopped;
  if (stopped) last_read_ = std::min(now, last_read_ + late);
  if (!stopped && writer_.queued_bytes() > 0 && now - last_write_ >= write_timeout_) {
    return fail("the peer has read nothing for " + seconds_text(write_timeout_));
  }
  if (state_ == State::kOpen && now - last_read_ >= idle_timeout_) {
    return fail("nothing heard from the peer for " + seconds_text(idle_timeout_));
  }
  if (state_ == State::kOpen && writer_.queued_bytes() == 0 && now - last_write_ >= keep_alive_interval_) {
    last_write_ = now;
    writer_.add_keep_alive();
    flush();
    if (state_ == State::kClosed) return;
  }
  arm_timer();
}

Connection::Counters TcpLink::counters() const {
  Connection::Counters counters = counters_;
  counters.frames_in = reader_.frames_in();
  counters.frames_out = writer_.frames_out();
  counters.bulk_in = reader_.bulk_in();
  counters.bulk_copied = reader_.bulk_copied();
  counters.bulk_out = writer_.bulk_out();
  counters.queued_bytes = writer_.queued_bytes();
  return counters;
}

}  // namespace tegula
