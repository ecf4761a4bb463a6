#include "client/session_core.h"

#include <fmt/core.h>

#include <algorithm>
#include <variant>

#include "src/log.h"
#include "src/overloaded.h"

namespace tegula::client {

namespace {

constexpr std::string_view kLog = "client";
constexpr auto kFirstRetry = std::chrono::milliseconds(20);
constexpr auto kLongestRetry = std::chrono::milliseconds(500);

// Errors that another try may not meet again.
bool transient(ErrorCode code) { return code == ErrorCode::kConnection || code == ErrorCode::kTimeout; }

}  // namespace

SessionCore::SessionCore(std::shared_ptr<EventLoop> loop, SessionOptions options)
    : loop_(std::move(loop)), options_(std::move(options)), address_(options_.address) {
  options_.comm.role = Role::kClient;
  workers_ = std::make_shared<WorkerPool>(*loop_, options_.comm);
}

// ---- connecting ----

void SessionCore::open() {
  loop_->run_and_wait([this] {
    deadline_ = Clock::now() + options_.comm.connect_timeout;
    try_connect();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return phase_ != Phase::kConnecting; });
  if (phase_ == Phase::kAttached) return;
  const ErrorInfo why =
      phase_ == Phase::kLost ? loss_ : ErrorInfo{ErrorCode::kClosed, "the client is closed", {}, {}, {}, {}};
  lock.unlock();
  close();
  throw_error(why);
}

void SessionCore::try_connect() {
  const std::uint64_t number = ++tries_;
  const bool again = life_ != Incarnation{};
  if (again) read_file();
  CommOptions comm = options_.comm;
  if (again) comm.incarnation = {};  // whichever life of the scheduler is there now
  comm.connect_timeout = std::max<std::chrono::nanoseconds>(deadline_ - Clock::now(), std::chrono::milliseconds(1));
  connect(*loop_, address(), comm,
          [weak = weak_from_this(), number](ConnectionPtr connection, std::optional<ErrorInfo> error) {
            if (auto self = weak.lock()) {
              self->connected(number, std::move(connection), std::move(error));
            } else if (connection) {
              connection->close();
            }
          });
}

std::string SessionCore::address() const {
  std::lock_guard lock(mutex_);
  return address_;
}

void SessionCore::read_file() {
  if (options_.scheduler_file.empty()) return;
  try {
    const SchedulerFile file = read_scheduler_file(options_.scheduler_file);
    options_.comm.token = file.token;
    workers_->set_token(file.token);
    std::lock_guard lock(mutex_);
    address_ = file.address;
  } catch (const Error& error) {  // it is being started, or will never be: what was known is tried
    log::debug(kLog, "{}", error.what());
  }
}

void SessionCore::connected(std::uint64_t try_number, ConnectionPtr connection, std::optional<ErrorInfo> error) {
  if (try_number != tries_) {  // given up meanwhile
    if (connection) connection->close();
    return;
  }
  if (error) return try_again(std::move(*error));
  if (connection->peer().role != Role::kScheduler) {
    connection->close();
    ErrorInfo why{
        ErrorCode::kConnection, fmt::format("{} is the address of no scheduler", options_.address), {}, {}, {}, {}};
    return life_ == Incarnation{} ? lose(std::move(why)) : try_again(std::move(why));
  }
  connection_ = std::move(connection);
  connection_->on_messages = [weak = weak_from_this()](std::vector<msg::Message> messages) {
    if (auto self = weak.lock()) self->receive(messages);
  };
  connection_->on_closed = [weak = weak_from_this()](const std::string& reason) {
    if (auto self = weak.lock()) self->disconnected(reason);
  };
  connection_->send(msg::AttachClient{session_, secret_, options_.comm.name, options_.share});
  deadline_timer_ = loop_->after(std::max<std::chrono::nanoseconds>(deadline_ - Clock::now(), kFirstRetry), [this] {
    lose({ErrorCode::kTimeout, options_.address + " does not answer as a scheduler", {}, {}, {}, {}});
  });
}

void SessionCore::try_again(ErrorInfo why) {
  const auto delay = std::min<std::chrono::nanoseconds>(kFirstRetry * (1 << std::min(failures_++, 5u)), kLongestRetry);
  // A scheduler that is being started again may not have written its token yet.
  const bool hope = transient(why.code) || (why.code == ErrorCode::kAuthentication && life_ != Incarnation{});
  if (!hope || Clock::now() + delay >= deadline_) return lose(std::move(why));
  retry_timer_ = loop_->after(delay, [this] { try_connect(); });
}

void SessionCore::attached(const msg::ClientAttached& message) {
  deadline_timer_.reset();
  if (message.session == 0) return attach_anew();
  if (session_ != 0 && message.last_sequence < acknowledged_) {
    log::warning(kLog, "the scheduler at {} has forgotten changes that it had taken", address());
    connection_->send(msg::CloseClient{});
    return attach_anew();
  }
  if (unknown_ || connection_->peer().incarnation != life_) begin_life(connection_->peer().incarnation);
  session_ = message.session;
  secret_ = message.secret;
  if (std::exchange(unknown_, false)) {
    submit_again();
  } else {
    // What the scheduler tells next of the wants that it has had already is news.
    std::lock_guard lock(mutex_);
    for (const auto& [sequence, submission] : submissions_) {
      if (sequence <= message.last_sequence) begin_wants(*submission);
    }
  }
  // Also what the scheduler has had already: its acknowledgement was lost, and it gives it again.
  for (std::size_t i = 0; i < unacknowledged_.size(); ++i) {
    send_numbered(unacknowledged_[i].first, unacknowledged_[i].second);
    if (!connection_) return;  // lost by that
  }
  if (progress_interval_ != 0) connection_->send(msg::SubscribeProgress{progress_interval_});
  std::lock_guard lock(mutex_);
  for (const auto& [request, reply] : replies_) connection_->send(msg::QueryStatus{request});
  for (auto& [request, question] : questions_) {
    if (question.reply) continue;
    if (std::holds_alternative<msg::Query>(question.message)) {
      connection_->send(question.message);
    } else {
      question.reply.emplace();
      question.reply->failed = true;
      question.reply->error = {ErrorCode::kConnection,
                               "the connection was lost before the order was answered: it may have been carried out",
                               {},
                               {},
                               {},
                               {}};
    }
  }
  phase_ = Phase::kAttached;
  changed_.notify_all();
}

// The scheduler was started again without a journal, or has given this client up.
void SessionCore::attach_anew() {
  if (session_ == 0) {
    return lose({ErrorCode::kConnection, "the scheduler at " + address() + " takes no clients", {}, {}, {}, {}});
  }
  log::info(kLog, "the scheduler at {} does not know this client's session; telling it what is wanted", address());
  session_ = secret_ = 0;
  unknown_ = true;
  connection_->close();
  drop_connection();
  try_connect();
}

// Results and workers have other names in this life of the scheduler, and it may not know yet what there is.
void SessionCore::begin_life(Incarnation incarnation) {
  life_ = incarnation;
  options_.comm.incarnation = incarnation;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, entry] : tables_) {
      if (entry.table->lose_finished()) tell_listeners(*entry.table, OutputTable::kEveryIndex);
    }
  }
  workers_->begin_life(incarnation);
}

// What was taken before, then what was not acknowledged, with numbers from 1.
void SessionCore::submit_again() {
  std::deque<std::pair<std::uint64_t, msg::Message>> numbered;
  const auto number = [&numbered](msg::Message change) {
    const std::uint64_t sequence = numbered.size() + 1;
    std::visit(
        [sequence](auto& m) {
          if constexpr (requires { m.sequence; }) m.sequence = sequence;
        },
        change);
    numbered.emplace_back(sequence, std::move(change));
    return sequence;
  };
  for (msg::Message& change : contents_.changes()) number(std::move(change));
  contents_ = {};
  const std::uint64_t told_before = std::exchange(told_again_, numbered.size());
  acknowledged_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Submission>> submissions;
  for (auto& [sequence, change] : unacknowledged_) {
    const std::uint64_t now = number(std::move(change));
    if (sequence <= told_before) told_again_ = now;
    if (const auto found = submissions_.find(sequence); found != submissions_.end()) {
      submissions.emplace(now, std::move(found->second));
    }
  }
  unacknowledged_ = std::move(numbered);
  submissions_ = std::move(submissions);
  last_sequence_ = unacknowledged_.size();
}

void SessionCore::disconnected(const std::string& reason) {
  drop_connection();
  deadline_timer_.reset();
  bool was_attached;
  {
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::kClosed || phase_ == Phase::kLost) return;
    was_attached = phase_ == Phase::kAttached;
    if (was_attached) phase_ = Phase::kReattaching;
  }
  if (!was_attached) {  // whoever answers there takes no clients
    const std::string why = fmt::format("cannot attach to {}: {}", options_.address, reason);
    return try_again({ErrorCode::kConnection, why, {}, {}, {}, {}});
  }
  log::info(kLog, "lost the connection to {}: {}", options_.address, reason);
  deadline_ = Clock::now() + options_.reattach_time;
  failures_ = 0;
  try_connect();
}

// For good: nothing of this session will be heard again.
void SessionCore::lose(ErrorInfo why) {
  ++tries_;
  retry_timer_.reset();
  deadline_timer_.reset();
  if (connection_) connection_->close();
  drop_connection();
  {
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::kClosed || phase_ == Phase::kLost) return;
    if (phase_ == Phase::kReattaching && transient(why.code)) {
      why = {
          ErrorCode::kConnection, fmt::format("lost the scheduler at {}: {}", address_, why.message), {}, {}, {}, {}};
    }
    phase_ = Phase::kLost;
    loss_ = std::move(why);
    for (auto& [sequence, submission] : submissions_) {
      submission->done = true;
      submission->error = loss_;
    }
    changed_.notify_all();
  }
  submissions_.clear();
  unacknowledged_.clear();
  end_tables(FutureStatus::kLost);
  workers_->close();
}

// A handler of the connection may be what runs now, so it is destroyed later.
void SessionCore::drop_connection() {
  if (connection_) loop_->post([connection = std::exchange(connection_, nullptr)] {});
}

void SessionCore::close() {
  {
    std::lock_guard lock(mutex_);
    if (phase_ == Phase::kClosed) return;
    phase_ = Phase::kClosed;
    changed_.notify_all();
  }
  const auto end = [this] {
    ++tries_;
    retry_timer_.reset();
    deadline_timer_.reset();
    if (connection_) {
      if (session_ != 0) connection_->send(msg::CloseClient{});
      connection_->close();
    }
    drop_connection();
    progress_handler_ = nullptr;
    {
      std::lock_guard lock(mutex_);
      for (auto& [sequence, submission] : submissions_) {
        submission->done = true;
        submission->error = ErrorInfo{ErrorCode::kClosed, "the client is closed", {}, {}, {}, {}};
      }
      changed_.notify_all();
    }
    submissions_.clear();
    unacknowledged_.clear();
    end_tables(FutureStatus::kCancelled);
    workers_->close();
  };
  try {
    loop_->run_and_wait(end);
  } catch (const ClosedError&) {
    end();  // no loop runs any more
  }
}

bool SessionCore::closed() const {
  std::lock_guard lock(mutex_);
  return phase_ == Phase::kClosed || phase_ == Phase::kLost;
}

void SessionCore::require_open() const {
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::kClosed) throw ClosedError("the client is closed");
  if (phase_ == Phase::kLost) throw_error(loss_);
}

// ---- messages ----

void SessionCore::receive(std::vector<msg::Message>& messages) {
  for (msg::Message& message : messages) {
    if (!connection_) return;  // ended by what came before
    handle(message);
  }
}

void SessionCore::handle(msg::Message& message) {
  std::visit(Overloaded{
                 [this](msg::ClientAttached& m) { attached(m); },
                 [this](msg::SubmitAccepted& m) { acknowledge(m.sequence, 0, std::nullopt); },
                 [this](msg::SubmitRefused& m) { acknowledge(m.sequence, m.sequence, std::move(m.error)); },
                 [this](msg::WorkerAddress& m) { workers_->set_address(m.worker, std::move(m.address)); },
                 [this](msg::WorkerGone& m) { workers_->forget(m.worker); },
                 [this](msg::ResultReady& m) {
                   change_table(m.layer, m.output, m.index, [&m](OutputTable& table) {
                     return table.set_ready(m.index, {m.result, m.nbytes, std::move(m.holders)});
                   });
                 },
                 [this](msg::ResultErred& m) {
                   change_table(m.layer, m.output, m.index,
                                [&m](OutputTable& table) { return table.set_error(m.index, std::move(m.error)); });
                 },
                 [this](msg::ResultLost& m) {
                   change_table(m.layer, m.output, m.index,
                                [&m](OutputTable& table) { return table.set_lost(m.index); });
                 },
                 [this](msg::Shutdown& m) {
                   lose({ErrorCode::kConnection,
                         fmt::format("the scheduler at {} has ended: {}", address(), m.reason),
                         {},
                         {},
                         {},
                         {}});
                 },
                 [this](msg::Progress& m) {
                   if (progress_handler_) progress_handler_(m);
                 },
                 [this](msg::StatusReply& m) {
                   std::lock_guard lock(mutex_);
                   if (const auto found = replies_.find(m.request); found != replies_.end()) {
                     found->second = std::move(m);
                     changed_.notify_all();
                   }
                 },
                 [this](msg::QueryReply& m) {
                   std::lock_guard lock(mutex_);
                   if (const auto found = questions_.find(m.request); found != questions_.end()) {
                     found->second.reply = std::move(m);
                     changed_.notify_all();
                   }
                 },
                 [this](auto& other) {
                   log::warning(kLog, "the scheduler at {} sent a {}, which is not for clients", options_.address,
                                msg::name_of(msg::Message(std::move(other))));
                 },
             },
             message);
}

void SessionCore::change_table(LayerNumber layer, std::uint16_t output, std::uint32_t index,
                               const std::function<bool(OutputTable&)>& change) {
  std::lock_guard lock(mutex_);
  const auto found = tables_.find({layer, output});
  if (found == tables_.end()) return;  // released meanwhile
  OutputTable& table = *found->second.table;
  if (!change(table)) return;
  tell_listeners(table, index);
  if (table.settled()) changed_.notify_all();
}

void SessionCore::tell_listeners(OutputTable& table, std::uint32_t index) {
  for (const auto& [number, listener] : table.listeners) listener(index);
}

void SessionCore::end_tables(FutureStatus how) {
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, entry] : tables_) {
      if (entry.table->end_pending(how)) tell_listeners(*entry.table, OutputTable::kEveryIndex);
    }
    changed_.notify_all();
  }
  for (const auto& [number, listener] : std::exchange(end_listeners, {})) listener();
}

void SessionCore::send(msg::Message message) {
  if (connection_ && session_ != 0) connection_->send(std::move(message));
}

template <typename Change>
void SessionCore::send_change(Change change) {
  change.sequence = ++last_sequence_;
  unacknowledged_.emplace_back(last_sequence_, std::move(change));
  bool attached;
  {
    std::lock_guard lock(mutex_);
    attached = phase_ == Phase::kAttached;
  }
  if (attached && connection_) send_numbered(last_sequence_, unacknowledged_.back().second);
}

// A change that is more than the scheduler takes fails here. No number may be skipped, so an empty change goes instead.
void SessionCore::send_numbered(std::uint64_t sequence, msg::Message& change) {
  if (const auto excess = connection_->excess(change)) {
    log::warning(kLog, "not sent to the scheduler at {}: {}", options_.address, *excess);
    if (sequence <= told_again_) {
      return lose({ErrorCode::kConnection,
                   fmt::format("the scheduler at {} can't be told anew what is wanted: {}", address(), *excess),
                   {},
                   {},
                   {},
                   {}});
    }
    change = msg::ForgetLayers{sequence, {}};
    if (const auto found = submissions_.find(sequence); found != submissions_.end()) {
      std::lock_guard lock(mutex_);
      found->second->error = ErrorInfo{
          ErrorCode::kValue, fmt::format("cannot submit to {}: {}", options_.address, *excess), {}, {}, {}, {}};
      found->second->done = true;
      submissions_.erase(found);
      changed_.notify_all();
    }
  }
  connection_->send(change);
}

void SessionCore::begin_wants(Submission& submission) {
  for (const auto& table : std::exchange(submission.tables, {})) table->renew();
}

// All up to `sequence` have been taken, but for `refused`.
void SessionCore::acknowledge(std::uint64_t sequence, std::uint64_t refused, std::optional<ErrorInfo> error) {
  if (refused != 0 && refused <= told_again_ && !unacknowledged_.empty() && unacknowledged_.front().first <= refused) {
    return lose({error->code,
                 "the scheduler at " + address() + " refuses now what it took before: " + error->message,
                 {},
                 {},
                 {},
                 {}});
  }
  acknowledged_ = std::max(acknowledged_, std::min(sequence, last_sequence_));
  while (!unacknowledged_.empty() && unacknowledged_.front().first <= sequence) {
    if (unacknowledged_.front().first != refused) contents_.apply(unacknowledged_.front().second);
    unacknowledged_.pop_front();
  }
  std::lock_guard lock(mutex_);
  while (!submissions_.empty() && submissions_.begin()->first <= sequence) {
    Submission& submission = *submissions_.begin()->second;
    if (submissions_.begin()->first == refused) {
      submission.error = error;
    } else {
      begin_wants(submission);
    }
    submission.done = true;
    submissions_.erase(submissions_.begin());
    changed_.notify_all();
  }
}

// ---- what users ask ----

SessionCore::Submitted SessionCore::submit(const Numbering&, std::vector<msg::LayerPtr> layers,
                                           std::vector<msg::WantRange> wants, msg::SubmitOptions options) {
  require_open();
  Submitted submitted;
  submitted.submission = std::make_shared<Submission>();
  const LayerNumber first = next_layer_;
  next_layer_ += static_cast<LayerNumber>(layers.size());
  {
    std::lock_guard lock(mutex_);
    for (const msg::WantRange& want : wants) {
      Entry& entry = tables_[{want.layer, want.output}];
      if (!entry.table) entry.table = std::make_shared<OutputTable>(want.layer, want.output, want.end);
      ++entry.wants;
      submitted.tables.push_back(entry.table);
    }
    submitted.submission->tables = submitted.tables;
  }
  loop_->post([weak = weak_from_this(), first, layers = std::move(layers), wants = std::move(wants),
               options = std::move(options), submission = submitted.submission]() mutable {
    auto self = weak.lock();
    if (!self) return;
    {
      std::lock_guard lock(self->mutex_);
      if (self->phase_ == Phase::kClosed || self->phase_ == Phase::kLost) {
        submission->done = true;
        submission->error = self->phase_ == Phase::kLost
                                ? self->loss_
                                : ErrorInfo{ErrorCode::kClosed, "the client is closed", {}, {}, {}, {}};
        self->changed_.notify_all();
        return;
      }
    }
    self->submissions_.emplace(self->last_sequence_ + 1, std::move(submission));
    self->send_change(msg::Submit{0, first, std::move(layers), std::move(wants), std::move(options)});
  });
  return submitted;
}

void SessionCore::wait_accepted(Submission& submission) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return submission.done; });
  if (!submission.error) return;
  const ErrorInfo error = *submission.error;
  lock.unlock();
  throw_error(error);
}

// The scheduler knows nothing of these wants, so there is nothing to release.
void SessionCore::abandon(const std::vector<std::shared_ptr<OutputTable>>& tables) {
  std::lock_guard lock(mutex_);
  for (const auto& table : tables) {
    const auto found = tables_.find({table->layer(), table->output()});
    if (found != tables_.end() && --found->second.wants == 0) tables_.erase(found);
  }
}

void SessionCore::release(const std::shared_ptr<OutputTable>& table) {
  std::lock_guard lock(mutex_);
  const auto found = tables_.find({table->layer(), table->output()});
  if (found == tables_.end() || found->second.table != table) return;
  if (--found->second.wants == 0) tables_.erase(found);
  released_.push_back({table->layer(), table->output(), 0, table->size()});
  flush_later();
}

void SessionCore::forget(LayerNumber layer) {
  std::lock_guard lock(mutex_);
  forgotten_.push_back(layer);
  flush_later();
}

void SessionCore::flush_later() {
  if (phase_ == Phase::kClosed || std::exchange(flush_posted_, true)) return;
  loop_->post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->flush_changes();
  });
}

// In this order: a cancelled result's handle may have been dropped since.
void SessionCore::flush_changes() {
  std::vector<msg::WantRange> cancelled;
  std::vector<msg::WantRange> released;
  std::vector<LayerNumber> forgotten;
  {
    std::lock_guard lock(mutex_);
    flush_posted_ = false;
    for (const auto& table : std::exchange(cancelled_, {})) {
      tell_listeners(*table, OutputTable::kEveryIndex);
      cancelled.push_back({table->layer(), table->output(), 0, table->size()});
    }
    released.swap(released_);
    forgotten.swap(forgotten_);
    if (phase_ == Phase::kClosed || phase_ == Phase::kLost) return;
  }
  if (!cancelled.empty()) send_change(msg::CancelWants{0, std::move(cancelled)});
  if (!released.empty()) send_change(msg::ReleaseWants{0, std::move(released)});
  if (!forgotten.empty()) send_change(msg::ForgetLayers{0, std::move(forgotten)});
}

void SessionCore::cancel(const std::shared_ptr<OutputTable>& table) {
  std::lock_guard lock(mutex_);
  if (!table->end_pending(FutureStatus::kCancelled)) return;
  changed_.notify_all();
  cancelled_.push_back(table);
  flush_later();
}

void SessionCore::wait(const OutputTable& table, std::optional<std::chrono::nanoseconds> timeout) const {
  std::unique_lock lock(mutex_);
  const auto settled = [&] { return table.settled(); };
  if (!timeout) {
    changed_.wait(lock, settled);
  } else if (!changed_.wait_for(lock, *timeout, settled)) {
    throw TimeoutError(fmt::format("not finished within {:.3f} s: {} of {} results are pending",
                                   std::chrono::duration<double>(*timeout).count(), table.pending(), table.size()));
  }
  if (table.status() != FutureStatus::kFinished) throw_failure(table.status(), table.first_error());
  if (phase_ == Phase::kClosed) throw ClosedError("the client is closed");
}

void SessionCore::throw_failure(FutureStatus status, const ErrorInfo* error) const {
  if (status == FutureStatus::kError && error != nullptr) throw_error(*error);
  if (status == FutureStatus::kLost) throw_error(loss_);
  if (status == FutureStatus::kCancelled && error != nullptr) throw_error(*error);
  throw CancelledError(phase_ == Phase::kClosed ? "cancelled: the client was closed" : "cancelled");
}

Connection::Counters SessionCore::traffic() {
  require_open();
  Connection::Counters counters;
  loop_->run_and_wait([&] {
    if (connection_) counters = connection_->counters();
  });
  return counters;
}

msg::StatusReply SessionCore::status(std::chrono::nanoseconds timeout) {
  require_open();
  std::uint64_t request = 0;
  loop_->run_and_wait([&] {
    request = ++last_request_;
    {
      std::lock_guard lock(mutex_);
      replies_[request].request = 0;
    }
    send(msg::QueryStatus{request});
  });
  std::unique_lock lock(mutex_);
  const auto over = [&] {
    return replies_[request].request == request || phase_ == Phase::kClosed || phase_ == Phase::kLost;
  };
  const bool in_time = changed_.wait_for(lock, timeout, over);
  msg::StatusReply reply = std::move(replies_[request]);
  replies_.erase(request);
  if (reply.request == request) return reply;
  if (!in_time) throw TimeoutError("the scheduler at " + options_.address + " does not answer");
  if (phase_ == Phase::kLost) throw_error(loss_);
  throw ClosedError("the client is closed");
}

msg::QueryReply SessionCore::answer_to(std::function<msg::Message(std::uint64_t request)> question,
                                       std::optional<std::chrono::nanoseconds> timeout) {
  require_open();
  std::uint64_t request = 0;
  loop_->run_and_wait([&] {
    request = ++last_request_;
    msg::Message message = question(request);
    {
      std::lock_guard lock(mutex_);
      questions_[request].message = message;
    }
    send(std::move(message));
  });
  std::unique_lock lock(mutex_);
  const auto over = [&] { return questions_[request].reply || phase_ == Phase::kClosed || phase_ == Phase::kLost; };
  bool in_time = true;
  if (timeout) {
    in_time = changed_.wait_for(lock, *timeout, over);
  } else {
    changed_.wait(lock, over);
  }
  std::optional<msg::QueryReply> reply = std::move(questions_[request].reply);
  questions_.erase(request);
  if (!reply) {
    if (!in_time) throw TimeoutError("the scheduler at " + options_.address + " does not answer");
    if (phase_ == Phase::kLost) throw_error(loss_);
    throw ClosedError("the client is closed");
  }
  if (reply->failed) throw_error(reply->error);
  return std::move(*reply);
}

std::string SessionCore::ask(msg::QueryKind kind, const std::string& subject, std::chrono::nanoseconds timeout) {
  std::string text;
  for (;;) {
    const msg::QueryReply reply = answer_to(
        [&](std::uint64_t request) {
          return msg::Query{request, kind, subject, text.size()};
        },
        timeout);
    text += reply.text;
    if (reply.remaining == 0) return text;
    if (reply.text.empty()) throw ProtocolError("the scheduler's answer does not go on");
  }
}

std::string SessionCore::command(const msg::Command& order, std::optional<std::chrono::nanoseconds> timeout) {
  const auto numbered = [&](std::uint64_t request) {
    msg::Command command = order;
    command.request = request;
    return command;
  };
  return answer_to(numbered, timeout).text;
}

void SessionCore::subscribe(std::uint32_t interval_ms, std::function<void(const msg::Progress&)> handler) {
  progress_interval_ = interval_ms;
  progress_handler_ = std::move(handler);
  send(msg::SubscribeProgress{interval_ms});
}

}  // namespace tegula::client
