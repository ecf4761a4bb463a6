// Client sessions: attaching, wanting less, leaving.
#include <fmt/core.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "scheduler/core/core.h"

namespace tegula::scheduler {

Session* Core::session_of(ConnectionId connection) {
  const auto found = by_connection_.find(connection);
  return found == by_connection_.end() ? nullptr : sessions_[found->second].get();
}

std::uint16_t Core::slot_of(const Session& session) const { return by_wire_session_.at(session.wire_session); }

Namer* Core::find_namer(Session& session, LayerNumber number) {
  const auto named = session.layers.find(number);
  if (named == session.layers.end()) return nullptr;
  const std::uint16_t slot = slot_of(session);
  for (Namer& namer : layers_.at(named->second).namers) {
    if (namer.session == slot && namer.number == number) return &namer;
  }
  return nullptr;
}

void Core::on(ClientConnected& event) {
  if (by_connection_.contains(event.connection) || event.connection == ConnectionId{}) return;
  if (event.attach.session != 0) {
    const auto found = by_wire_session_.find(event.attach.session);
    if (found != by_wire_session_.end() && sessions_[found->second]->secret == event.attach.secret) {
      attach(*sessions_[found->second], event);
      return;
    }
    begin_recovery();
    out_->push_back(SendToClient{event.connection, msg::ClientAttached{0, 0, 0}});
    out_->push_back(CloseClient{event.connection, "the session is not known (any more)"});
    return;
  }
  if (event.fresh_session == 0 || by_wire_session_.contains(event.fresh_session)) {
    out_->push_back(CloseClient{event.connection, "the session's number is taken"});
    return;
  }
  if (!(event.attach.share > 0 && event.attach.share <= 1e6)) {
    out_->push_back(CloseClient{event.connection,
                                fmt::format("a client's share must be between 0 and 1e6, not {}", event.attach.share)});
    return;
  }
  if (free_sessions_.empty() && sessions_.size() >= LayerRecord::kAccount) {
    out_->push_back(CloseClient{event.connection, "too many client sessions"});
    return;
  }
  Session& session = open_session(event.fresh_session, event.fresh_secret, event.attach);
  session.connection = event.connection;  // for whom what follows waits
  persist(session, msg::AttachClient{session.wire_session, session.secret, session.name, session.share});
  session.connection = ConnectionId{};
  attach(session, event);
}

Session& Core::open_session(std::uint64_t number, std::uint64_t secret, const msg::AttachClient& about) {
  std::uint16_t slot = static_cast<std::uint16_t>(sessions_.size());
  if (!free_sessions_.empty()) {
    slot = free_sessions_.back();
    free_sessions_.pop_back();
  } else {
    sessions_.emplace_back();
  }
  sessions_[slot] = Owned<Session>(std::make_unique<Session>());
  Session& session = *sessions_[slot];
  session.open = true;
  session.id = static_cast<ClientId>(++last_client_);
  session.wire_session = number;
  session.secret = secret;
  session.name = about.name;
  session.share = about.share;
  by_wire_session_[session.wire_session] = slot;
  ++counters_.clients;
  ++counters_.sessions;
  return session;
}

void Core::persist(const Session& session, msg::Message message) const {
  if (config_.journal && !restoring_) {
    out_->push_back(Persist{session.wire_session, std::move(message), session.connection});
  }
}

void Core::on(SessionRestored& event) {
  const auto* about = event.messages.empty() ? nullptr : std::get_if<msg::AttachClient>(&event.messages.front());
  if (about == nullptr || event.session == 0 || by_wire_session_.contains(event.session)) return;
  if (free_sessions_.empty() && sessions_.size() >= LayerRecord::kAccount) return;
  begin_recovery();
  restoring_ = true;
  Session& session = open_session(event.session, about->secret, *about);
  session.detached_at = now_ + config_.inventory_window;
  for (msg::Message& message : event.messages) {
    std::visit(
        [&]<typename M>(M& m) {
          if constexpr (std::is_same_v<M, msg::Submit>) on_submit(session, m);
          if constexpr (std::is_same_v<M, msg::ReleaseWants>) on_release(session, m);
          if constexpr (std::is_same_v<M, msg::CancelWants>) on_cancel(session, m);
          if constexpr (std::is_same_v<M, msg::ForgetLayers>) on_forget(session, m);
          if constexpr (std::is_same_v<M, msg::SubmitRefused>) session.refusals.push_back(m);
          if constexpr (std::is_same_v<M, msg::SubmitAccepted>) session.last_sequence = m.sequence;
        },
        message);
  }
  restoring_ = false;
}

void Core::attach(Session& session, const ClientConnected& event) {
  if (session.connection != ConnectionId{}) {
    // The old connection has not been seen to end yet; the client knows better.
    by_connection_.erase(session.connection);
    out_->push_back(CloseClient{session.connection, "the session was attached by another connection"});
  }
  session.connection = event.connection;
  by_connection_[event.connection] = slot_of(session);
  send(session, msg::ClientAttached{session.wire_session, session.secret, session.last_sequence});
  resend(session);
}

// What may have been lost with the former connection. A client takes the same news twice.
void Core::resend(Session& session) {
  for (const msg::SubmitRefused& refusal : session.refusals) send(session, msg::SubmitRefused(refusal));
  for (const auto& [number, id] : session.layers) {
    const LayerRecord& layer = layers_.at(id);
    const Namer& namer = *find_namer(session, number);
    for (std::uint16_t o = 0; o < layer.outputs; ++o) {
      namer.wants[o].for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t) {
        for (std::uint32_t index = begin; index < end; ++index) tell(session, layer, o, index, number);
      });
      namer.cancelled[o].for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t) {
        for (std::uint32_t index = begin; index < end; ++index) {
          if (namer.wants[o].count(index) == 0)
            send(session, msg::ResultErred{number, o, index, cancelled_error(layer, index)});
        }
      });
    }
  }
}

// Tells one session how a result stands, if it has ended.
void Core::tell(Session& session, const LayerRecord& layer, std::uint16_t o, std::uint32_t index, LayerNumber number) {
  const Slot slot = layer.slot(index);
  if (slot == kNoSlot) return;
  const Task& task = tasks_[slot];
  if (task.output(o).available()) {
    send(session, ready_message(task, o, number));
  } else if (task.state == TaskState::kErred) {
    send(session, msg::ResultErred{number, o, index, error_of(*task.failure)});
  }
}

void Core::on(ClientLost& event) {
  Session* session = session_of(event.connection);
  if (session == nullptr) return;
  by_connection_.erase(event.connection);
  session->connection = ConnectionId{};
  session->detached_at = now_;
}

void Core::acknowledge(Session& session) {
  if (session.acknowledge) return;
  session.acknowledge = true;
  to_acknowledge_.push_back(slot_of(session));
}

// Whether a message that changes the session is news. One that skips numbers ends the session: something was lost.
bool Core::fresh_sequence(Session& session, std::uint64_t sequence) {
  if (sequence <= session.last_sequence) {
    acknowledge(session);
    return false;
  }
  if (sequence != session.last_sequence + 1) {
    ++counters_.client_anomalies;
    out_->push_back(CloseClient{session.connection, "a message is missing"});
    close_session(slot_of(session));
    return false;
  }
  session.last_sequence = sequence;
  return true;
}

void Core::change_wants(LayerRecord& layer, std::uint16_t output, std::uint32_t begin, std::uint32_t end,
                        std::int32_t by) {
  if (layer.known == 0 && layer.active == 0) return;
  for (std::uint32_t index = begin; index < end; ++index) {
    const Slot slot = layer.slot(index);
    if (slot != kNoSlot) {
      Output& out = tasks_[slot].output(output);
      out.wants = static_cast<std::uint32_t>(static_cast<std::int64_t>(out.wants) + by);
      if (by > 0 || out.wants != 0) continue;
    }
    if (by > 0) continue;
    if (layer.is_active(index)) doubt(make_task_id(layer.id, index));
    if (slot != kNoSlot) tidy(slot);
  }
}

void Core::on_release(Session& session, const msg::ReleaseWants& message) {
  using Stretch = std::pair<std::uint32_t, std::uint32_t>;
  for (const msg::WantRange& range : message.wants) {
    Namer* namer = find_namer(session, range.layer);
    if (namer == nullptr || range.output >= namer->wants.size()) {
      ++counters_.client_anomalies;
      continue;
    }
    LayerRecord& layer = layers_.at(session.layers.at(range.layer));
    WantMap& wants = namer->wants[range.output];
    WantMap& cancelled = namer->cancelled[range.output];
    // Cancelled ones first: they are the older ones. What lies between them is taken from the live ones.
    std::vector<Stretch> spent, live, between;
    cancelled.for_each_in(range.begin, range.end, [&](std::uint32_t begin, std::uint32_t end, std::uint32_t) {
      spent.emplace_back(begin, end);
    });
    std::uint32_t at = range.begin;
    for (const auto& [begin, end] : spent) {
      if (at < begin) between.emplace_back(at, begin);
      at = end;
    }
    if (at < range.end) between.emplace_back(at, range.end);
    std::uint64_t released = 0;
    for (const auto& [from, to] : between) {
      wants.for_each_in(from, to, [&](std::uint32_t begin, std::uint32_t end, std::uint32_t) {
        live.emplace_back(begin, end);
        released += end - begin;
      });
    }
    for (const auto& [begin, end] : spent) {
      cancelled.add(begin, end, -1);
      released += end - begin;
    }
    for (const auto& [begin, end] : live) {
      wants.add(begin, end, -1);
      change_wants(layer, range.output, begin, end, -1);
    }
    if (range.begin > range.end || released != range.end - range.begin) ++counters_.client_anomalies;
  }
}

void Core::on_cancel(Session& session, const msg::CancelWants& message, const char* by) {
  struct Stretch {
    std::uint32_t begin, end, count;
  };
  for (const msg::WantRange& range : message.wants) {
    Namer* namer = find_namer(session, range.layer);
    if (namer == nullptr || range.output >= namer->wants.size()) {
      ++counters_.client_anomalies;
      continue;
    }
    LayerRecord& layer = layers_.at(session.layers.at(range.layer));
    std::vector<Stretch> unfinished;
    namer->wants[range.output].for_each_in(
        range.begin, range.end, [&](std::uint32_t begin, std::uint32_t end, std::uint32_t count) {
          for (std::uint32_t index = begin; index < end; ++index) {
            if (!layer.is_active(index)) continue;
            const Slot slot = layer.slot(index);
            if (slot != kNoSlot && tasks_[slot].output(range.output).available()) continue;
            if (!unfinished.empty() && unfinished.back().end == index && unfinished.back().count == count) {
              ++unfinished.back().end;
            } else {
              unfinished.push_back({index, index + 1, count});
            }
          }
        });
    for (const Stretch& stretch : unfinished) {
      const auto count = static_cast<std::int32_t>(stretch.count);
      namer->wants[range.output].add(stretch.begin, stretch.end, -count);
      namer->cancelled[range.output].add(stretch.begin, stretch.end, count);
      change_wants(layer, range.output, stretch.begin, stretch.end, -count);
      for (std::uint32_t index = stretch.begin; index < stretch.end; ++index) {
        send(session, msg::ResultErred{range.layer, range.output, index, cancelled_error(layer, index, by)});
      }
    }
  }
}

ErrorInfo Core::cancelled_error(const LayerRecord& layer, std::uint32_t index, const char* by) const {
  ErrorInfo error;
  error.code = ErrorCode::kCancelled;
  error.message = fmt::format("cancelled by {}", by);
  error.key = key_text(*layer.description, layer.hash, index);
  error.kernel = layer.description->kernel;
  return error;
}

void Core::on_forget(Session& session, const msg::ForgetLayers& message) {
  const std::uint16_t slot = slot_of(session);
  for (LayerNumber number : message.layers) {
    const auto named = session.layers.find(number);
    if (named == session.layers.end()) {
      ++counters_.client_anomalies;
      continue;
    }
    drop_namer(layers_.at(named->second), slot, number);
    session.layers.erase(named);
  }
}

// What the session still wants of the layer by this name goes with the name.
void Core::drop_namer(LayerRecord& layer, std::uint16_t session, LayerNumber number) {
  const auto found = std::find_if(layer.namers.begin(), layer.namers.end(), [&](const Namer& namer) {
    return namer.session == session && namer.number == number;
  });
  const Namer gone = std::move(*found);
  layer.namers.erase(found);
  for (std::uint16_t o = 0; o < layer.outputs; ++o) {
    gone.wants[o].for_each([&](std::uint32_t begin, std::uint32_t end, std::uint32_t count) {
      change_wants(layer, o, begin, end, -static_cast<std::int32_t>(count));
    });
  }
  if (layer.unused()) maybe_unused_.push_back(layer.id);
}

void Core::close_session(std::uint16_t slot) {
  Session& session = *sessions_[slot];
  persist(session, msg::CloseClient{});
  by_connection_.erase(session.connection);
  session.connection = ConnectionId{};
  by_wire_session_.erase(session.wire_session);
  session.open = false;
  session.cursors.clear();
  --counters_.clients;
  for (const auto& [number, id] : session.layers) drop_namer(layers_.at(id), slot, number);
  session.layers.clear();
  retire_session(slot);
}

void Core::retire_session(std::uint16_t slot) {
  Session& session = *sessions_[slot];
  if (slot == 0 || session.open || session.active != 0 || session.processing != 0) return;
  std::erase(expandable_, slot);
  std::erase(to_acknowledge_, slot);
  sessions_[slot].reset();
  free_sessions_.push_back(slot);
}

}  // namespace tegula::scheduler
