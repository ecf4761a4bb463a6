// What clients hear.
#include "scheduler/core/core.h"

namespace tegula::scheduler {

msg::ResultReady Core::ready_message(const Task& task, std::uint16_t o, LayerNumber number) const {
  const Output& output = task.output(o);
  msg::ResultReady message{number, o, index_of(task.id), {task.id, o}, output.nbytes, {}};
  for (WorkerSlot worker : output.replicas.span()) message.holders.push_back(workers_[worker]->id);
  return message;
}

void Core::notify_ready(const Task& task, std::uint16_t o) {
  for (const Namer& namer : layers_.at(layer_of(task.id)).namers) {
    if (namer.wants[o].count(index_of(task.id)) != 0) {
      send(*sessions_[namer.session], ready_message(task, o, namer.number));
    }
  }
}

void Core::notify_lost(const Task& task, std::uint16_t o) {
  for (const Namer& namer : layers_.at(layer_of(task.id)).namers) {
    if (namer.wants[o].count(index_of(task.id)) != 0) {
      send(*sessions_[namer.session], msg::ResultLost{namer.number, o, index_of(task.id)});
    }
  }
}

void Core::notify_erred(const LayerRecord& layer, std::uint32_t index, const ErrorInfo& error) {
  const Slot slot = layer.slot(index);
  for (const Namer& namer : layer.namers) {
    for (std::uint16_t o = 0; o < layer.outputs; ++o) {
      if (slot != kNoSlot && tasks_[slot].output(o).available()) continue;
      if (namer.wants[o].count(index) == 0) continue;
      send(*sessions_[namer.session], msg::ResultErred{namer.number, o, index, error});
    }
  }
}

msg::StatusReply Core::status() const {
  msg::StatusReply reply;
  for (const auto& worker : workers_) {
    if (!worker) continue;
    const msg::RegisterWorker& about = worker->registration;
    reply.workers.push_back({worker->id, about.name, about.address, about.host, about.kernel_level, about.pid,
                             about.threads, about.memory_limit, worker->heartbeat.managed_bytes,
                             worker->heartbeat.rss_bytes, worker->heartbeat.tasks_done,
                             static_cast<std::uint32_t>(worker->bound.size()), worker->heartbeat.reserved_bytes,
                             worker->heartbeat.spilled_bytes, worker->heartbeat.kept_bytes});
  }
  std::sort(reply.workers.begin(), reply.workers.end(),
            [](const auto& a, const auto& b) { return a.worker < b.worker; });
  reply.released = counters_.released;
  reply.waiting = counters_.waiting;
  reply.no_worker = counters_.no_worker;
  reply.queued = counters_.queued;
  reply.processing = counters_.processing;
  reply.memory = counters_.memory;
  reply.erred = counters_.erred;
  return reply;
}

msg::Progress Core::progress_of(const Session& session) const {
  return {session.active + session.done, session.done, session.processing,
          static_cast<std::uint32_t>(counters_.workers), static_cast<std::uint32_t>(counters_.threads)};
}

void Core::send_progress(Session& session) {
  if (session.progress_interval == Time{} || now_ - session.progress_sent < session.progress_interval) return;
  const msg::Progress now = progress_of(session);
  const msg::Progress& last = session.last_progress;
  if (now.total == last.total && now.done == last.done && now.executing == last.executing &&
      now.workers == last.workers && now.threads == last.threads) {
    return;
  }
  session.last_progress = now;
  session.progress_sent = now_;
  send(session, msg::Progress(now));
}

}  // namespace tegula::scheduler
