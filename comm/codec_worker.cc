// Messages between worker and scheduler.
#include "comm/codec_capnp.h"

namespace tegula::codec {

namespace {

template <typename Id>
auto number(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

void write_holders(capnp::List<wire::Holder>::Builder to, const std::vector<msg::Assign::Holder>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    auto holder = to[i];
    holder.setTask(number(from[i].result.task));
    holder.setOutput(from[i].result.output);
    holder.setWorker(number(from[i].worker));
  }
}

std::vector<msg::Assign::Holder> read_holders(capnp::List<wire::Holder>::Reader from) {
  check_structs<wire::Holder>(from, "holders");
  std::vector<msg::Assign::Holder> items;
  items.reserve(from.size());
  for (const auto holder : from) {
    items.push_back(
        {{static_cast<TaskId>(holder.getTask()), holder.getOutput()}, static_cast<WorkerId>(holder.getWorker())});
  }
  return items;
}

}  // namespace

// ---- worker -> scheduler

std::uint64_t words(const msg::RegisterWorker& m) {
  return words_of_struct<wire::RegisterWorker>() + words_of(m.name) + words_of(m.address) + words_of(m.host) +
         words_of(m.kernel_level) + words_of(m.kernels) + words_of(m.resources);
}
void write(wire::Message::Builder message, const msg::RegisterWorker& m) {
  auto to = message.initRegisterWorker();
  write_text(to.initName(list_size(m.name.size())), m.name);
  write_text(to.initAddress(list_size(m.address.size())), m.address);
  write_text(to.initHost(list_size(m.host.size())), m.host);
  to.setPid(m.pid);
  to.setThreads(m.threads);
  to.setMemoryLimit(m.memory_limit);
  write_text(to.initKernelLevel(list_size(m.kernel_level.size())), m.kernel_level);
  write_texts(to.initKernels(list_size(m.kernels.size())), m.kernels);
  to.setSlotsGranted(m.slots_granted);
  to.setKibGranted(m.kib_granted);
  write_resources(to.initResources(list_size(m.resources.size())), m.resources);
  to.setNanny(m.nanny);
  to.setLife(m.life);
  to.setLifetimeMs(m.lifetime_ms);
  to.setInstance(m.instance);
  to.setInventoryParts(m.inventory_parts);
}
static msg::RegisterWorker read(wire::RegisterWorker::Reader from) {
  msg::RegisterWorker m;
  m.name = read_text(from.getName());
  m.address = read_text(from.getAddress());
  m.host = read_text(from.getHost());
  m.pid = from.getPid();
  m.threads = from.getThreads();
  m.memory_limit = from.getMemoryLimit();
  m.kernel_level = read_text(from.getKernelLevel());
  m.kernels = read_texts(from.getKernels());
  m.slots_granted = from.getSlotsGranted();
  m.kib_granted = from.getKibGranted();
  m.resources = read_resources(from.getResources());
  m.nanny = from.getNanny();
  m.life = from.getLife();
  m.lifetime_ms = from.getLifetimeMs();
  m.instance = from.getInstance();
  m.inventory_parts = from.getInventoryParts();
  return m;
}

std::uint64_t words(const msg::Inventory& m) {
  return words_of_struct<wire::Inventory>() + words_of_structs<wire::Held>(m.results.size());
}
void write(wire::Message::Builder message, const msg::Inventory& m) {
  auto to = message.initInventory();
  to.setPart(m.part);
  auto list = to.initResults(list_size(m.results.size()));
  for (capnp::uint i = 0; i < list.size(); ++i) {
    const msg::Inventory::Held& held = m.results[i];
    auto item = list[i];
    item.setLayerHigh(held.layer.high);
    item.setLayerLow(held.layer.low);
    item.setNbytes(held.nbytes);
    item.setIndex(held.index);
    item.setOutput(held.output);
  }
}
static msg::Inventory read(wire::Inventory::Reader from) {
  const auto list = from.getResults();
  check_structs<wire::Held>(list, "an inventory");
  msg::Inventory m{from.getPart(), {}};
  m.results.reserve(list.size());
  for (const auto held : list) {
    m.results.push_back(
        {{held.getLayerHigh(), held.getLayerLow()}, held.getIndex(), held.getOutput(), held.getNbytes()});
  }
  return m;
}

std::uint64_t words(const msg::TaskFinished& m) { return m.nbytes.size(); }
void write(wire::Message::Builder message, const msg::TaskFinished& m) {
  auto to = message.initTaskFinished();
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
  to.setComputeNs(m.compute_ns);
  write_numbers(to.initNbytes(list_size(m.nbytes.size())), m.nbytes);
}
static msg::TaskFinished read(wire::Message::TaskFinished::Reader from) {
  msg::TaskFinished m;
  m.attempt = static_cast<AttemptId>(from.getAttempt());
  m.task = static_cast<TaskId>(from.getTask());
  m.compute_ns = from.getComputeNs();
  m.nbytes = read_numbers<std::uint64_t>(from.getNbytes());
  return m;
}

std::uint64_t words(const msg::TaskFailed& m) { return words_of_struct<wire::TaskFailed>() + words_of(m.error); }
void write(wire::Message::Builder message, const msg::TaskFailed& m) {
  auto to = message.initTaskFailed();
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
  write_error(to.initError(), m.error);
}
static msg::TaskFailed read(wire::TaskFailed::Reader from) {
  return {static_cast<AttemptId>(from.getAttempt()), static_cast<TaskId>(from.getTask()), read_error(from.getError())};
}

std::uint64_t words(const msg::TaskReturned& m) {
  return words_of_struct<wire::TaskReturned>() + words_of_structs<wire::TaskReturned::Missing>(m.missing.size());
}
void write(wire::Message::Builder message, const msg::TaskReturned& m) {
  auto to = message.initTaskReturned();
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
  auto list = to.initMissing(list_size(m.missing.size()));
  for (capnp::uint i = 0; i < list.size(); ++i) {
    auto item = list[i];
    item.setTask(number(m.missing[i].result.task));
    item.setOutput(m.missing[i].result.output);
    item.setHolder(number(m.missing[i].holder));
    item.setUnreachable(m.missing[i].unreachable);
  }
}
static msg::TaskReturned read(wire::TaskReturned::Reader from) {
  msg::TaskReturned m{static_cast<AttemptId>(from.getAttempt()), static_cast<TaskId>(from.getTask()), {}};
  const auto list = from.getMissing();
  check_structs<wire::TaskReturned::Missing>(list, "missing inputs");
  m.missing.reserve(list.size());
  for (const auto item : list) {
    m.missing.push_back({{static_cast<TaskId>(item.getTask()), item.getOutput()},
                         static_cast<WorkerId>(item.getHolder()),
                         item.getUnreachable()});
  }
  return m;
}

std::uint64_t words(const msg::ReplicasAdded& m) { return words_of_structs<wire::ResultId>(m.results.size()); }
void write(wire::Message::Builder message, const msg::ReplicasAdded& m) {
  write_results(message.initReplicasAdded(list_size(m.results.size())), m.results);
}

std::uint64_t words(const msg::ReplicasDropped& m) { return words_of_structs<wire::ResultId>(m.results.size()); }
void write(wire::Message::Builder message, const msg::ReplicasDropped& m) {
  write_results(message.initReplicasDropped(list_size(m.results.size())), m.results);
}

std::uint64_t words(const msg::GrantCredit&) { return 0; }
void write(wire::Message::Builder message, const msg::GrantCredit& m) {
  auto to = message.initGrantCredit();
  to.setSlots(m.slots);
  to.setKib(m.kib);
}

std::uint64_t words(const msg::WorkerHeartbeat& m) {
  return words_of_struct<wire::WorkerHeartbeat>() + words_of(m.running) +
         words_of_structs<wire::Transfers>(m.transfers.size());
}
void write(wire::Message::Builder message, const msg::WorkerHeartbeat& m) {
  auto to = message.initWorkerHeartbeat();
  to.setAttemptsHash(m.attempts_hash);
  to.setSent(m.sent);
  to.setReceived(m.received);
  to.setManagedBytes(m.managed_bytes);
  to.setReservedBytes(m.reserved_bytes);
  to.setRssBytes(m.rss_bytes);
  to.setBytesIn(m.bytes_in);
  to.setBytesOut(m.bytes_out);
  to.setTasksDone(m.tasks_done);
  to.setExecuting(m.executing);
  to.setReady(m.ready);
  to.setWaiting(m.waiting);
  write_numbers(to.initRunning(list_size(m.running.size())), m.running);
  to.setSpilledBytes(m.spilled_bytes);
  to.setKeptBytes(m.kept_bytes);
  to.setDiskWritten(m.disk_written);
  to.setDiskRead(m.disk_read);
  to.setDiskFull(m.disk_full);
  auto transfers = to.initTransfers(list_size(m.transfers.size()));
  for (unsigned i = 0; i < transfers.size(); ++i) {
    const msg::Transfers& one = m.transfers[i];
    transfers[i].setFrom(number(one.from));
    transfers[i].setSmall(one.small);
    transfers[i].setSmallNs(one.small_ns);
    transfers[i].setLarge(one.large);
    transfers[i].setLargeNs(one.large_ns);
    transfers[i].setBytes(one.bytes);
  }
}
static msg::WorkerHeartbeat read(wire::WorkerHeartbeat::Reader from) {
  msg::WorkerHeartbeat m;
  m.attempts_hash = from.getAttemptsHash();
  m.sent = from.getSent();
  m.received = from.getReceived();
  m.managed_bytes = from.getManagedBytes();
  m.reserved_bytes = from.getReservedBytes();
  m.rss_bytes = from.getRssBytes();
  m.bytes_in = from.getBytesIn();
  m.bytes_out = from.getBytesOut();
  m.tasks_done = from.getTasksDone();
  m.executing = from.getExecuting();
  m.ready = from.getReady();
  m.waiting = from.getWaiting();
  m.running = read_numbers<AttemptId>(from.getRunning());
  m.spilled_bytes = from.getSpilledBytes();
  m.kept_bytes = from.getKeptBytes();
  m.disk_written = from.getDiskWritten();
  m.disk_read = from.getDiskRead();
  m.disk_full = from.getDiskFull();
  const auto transfers = from.getTransfers();
  check_structs<wire::Transfers>(transfers, "transfers");
  m.transfers.reserve(transfers.size());
  for (const auto one : transfers) {
    m.transfers.push_back({static_cast<WorkerId>(one.getFrom()), one.getSmall(), one.getSmallNs(), one.getLarge(),
                           one.getLargeNs(), one.getBytes()});
  }
  return m;
}

std::uint64_t words(const msg::WorkerLeaving& m) { return words_of(m.reason); }
void write(wire::Message::Builder message, const msg::WorkerLeaving& m) {
  write_text(message.initWorkerLeaving(list_size(m.reason.size())), m.reason);
}

std::uint64_t words(const msg::WorkerDraining& m) { return words_of(m.reason); }
void write(wire::Message::Builder message, const msg::WorkerDraining& m) {
  write_text(message.initWorkerDraining(list_size(m.reason.size())), m.reason);
}

std::uint64_t words(const msg::WorkerDied& m) {
  return words_of_struct<wire::WorkerDied>() + words_of(m.name) + words_of(m.detail) + m.executing.size();
}
void write(wire::Message::Builder message, const msg::WorkerDied& m) {
  auto to = message.initWorkerDied();
  write_text(to.initName(list_size(m.name.size())), m.name);
  to.setNanny(m.nanny);
  to.setLife(m.life);
  to.setCause(static_cast<std::uint8_t>(m.cause));
  write_text(to.initDetail(list_size(m.detail.size())), m.detail);
  write_numbers(to.initExecuting(list_size(m.executing.size())), m.executing);
}
static msg::WorkerDied read(wire::WorkerDied::Reader from) {
  msg::WorkerDied m;
  m.name = read_text(from.getName());
  m.nanny = from.getNanny();
  m.life = from.getLife();
  if (from.getCause() > static_cast<std::uint8_t>(msg::DeathCause::kOrderly)) {
    invalid("cause of death " + std::to_string(from.getCause()));
  }
  m.cause = static_cast<msg::DeathCause>(from.getCause());
  m.detail = read_text(from.getDetail());
  m.executing = read_numbers<AttemptId>(from.getExecuting());
  return m;
}

// ---- scheduler -> worker

std::uint64_t words(const msg::WorkerRegistered&) { return words_of_struct<wire::WorkerRegistered>(); }
void write(wire::Message::Builder message, const msg::WorkerRegistered& m) {
  auto to = message.initWorkerRegistered();
  to.setWorker(number(m.worker));
  to.setHeartbeatIntervalMs(m.heartbeat_interval_ms);
}

std::uint64_t words(const msg::WorkerRefused& m) { return words_of(m.reason); }
void write(wire::Message::Builder message, const msg::WorkerRefused& m) {
  write_text(message.initWorkerRefused(list_size(m.reason.size())), m.reason);
}

std::uint64_t words(const msg::InventoryTaken& m) {
  return words_of_struct<wire::InventoryTaken>() + words_of(m.layers);
}
void write(wire::Message::Builder message, const msg::InventoryTaken& m) {
  auto to = message.initInventoryTaken();
  to.setPart(m.part);
  write_numbers(to.initLayers(list_size(m.layers.size())), m.layers);
}

std::uint64_t words(const msg::DefineLayer& m) {
  return words_of_struct<wire::DefineLayer>() + words_of_struct<wire::Layer>() + words_of(*m.description);
}
void write(wire::Message::Builder message, const msg::DefineLayer& m) {
  auto to = message.initDefineLayer();
  to.setLayer(number(m.layer));
  to.setHashHigh(m.hash.high);
  to.setHashLow(m.hash.low);
  write_layer(to.initDescription(), *m.description);
  to.setTimeLimitMs(m.time_limit_ms);
  to.setMemory(m.memory);
}

std::uint64_t words(const msg::ForgetLayer&) { return 0; }
void write(wire::Message::Builder message, const msg::ForgetLayer& m) { message.setForgetLayer(number(m.layer)); }

std::uint64_t words(const msg::WorkerAddress& m) {
  return words_of_struct<wire::WorkerAddress>() + words_of(m.address);
}
void write(wire::Message::Builder message, const msg::WorkerAddress& m) {
  auto to = message.initWorkerAddress();
  to.setWorker(number(m.worker));
  write_text(to.initAddress(list_size(m.address.size())), m.address);
}

std::uint64_t words(const msg::WorkerGone&) { return 0; }
void write(wire::Message::Builder message, const msg::WorkerGone& m) { message.setWorkerGone(number(m.worker)); }

// Most assignments await nothing; they have a form of their own, without the lists.
std::uint64_t words(const msg::Assign& m) {
  std::uint64_t needed = m.holders.empty() ? 0 : words_of_structs<wire::Holder>(m.holders.size());
  if (m.awaited.empty()) return needed;
  needed += words_of_struct<wire::AssignAhead>() + words_of_structs<wire::AssignAhead::Awaited>(m.awaited.size());
  return needed;
}
template <typename To>
static void write_assign(To to, const msg::Assign& m) {
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
  to.setPriority(m.priority);
  to.setKib(m.kib);
  if (!m.holders.empty()) write_holders(to.initHolders(list_size(m.holders.size())), m.holders);
}
void write(wire::Message::Builder message, const msg::Assign& m) {
  if (m.awaited.empty()) return write_assign(message.initAssign(), m);
  auto to = message.initAssignAhead();
  write_assign(to, m);
  auto awaited = to.initAwaited(list_size(m.awaited.size()));
  for (capnp::uint i = 0; i < awaited.size(); ++i) {
    auto item = awaited[i];
    item.setTask(number(m.awaited[i].result.task));
    item.setOutput(m.awaited[i].result.output);
    item.setWorker(number(m.awaited[i].worker));
    item.setAttempt(number(m.awaited[i].attempt));
  }
}
template <typename From>
static msg::Assign read_assign(From from) {
  msg::Assign m;
  m.attempt = static_cast<AttemptId>(from.getAttempt());
  m.task = static_cast<TaskId>(from.getTask());
  m.priority = from.getPriority();
  m.holders = read_holders(from.getHolders());
  m.kib = from.getKib();
  return m;
}
static msg::Assign read(wire::AssignAhead::Reader from) {
  msg::Assign m = read_assign(from);
  const auto awaited = from.getAwaited();
  check_structs<wire::AssignAhead::Awaited>(awaited, "awaited inputs");
  m.awaited.reserve(awaited.size());
  for (const auto item : awaited) {
    m.awaited.push_back({{static_cast<TaskId>(item.getTask()), item.getOutput()},
                         static_cast<WorkerId>(item.getWorker()),
                         static_cast<AttemptId>(item.getAttempt())});
  }
  return m;
}

std::uint64_t words(const msg::Retract&) { return words_of_struct<wire::Retract>(); }
void write(wire::Message::Builder message, const msg::Retract& m) {
  auto to = message.initRetract();
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
  to.setKeep(!m.cancel);
}

std::uint64_t words(const msg::TaskRunning&) { return words_of_struct<wire::Retract>(); }
void write(wire::Message::Builder message, const msg::TaskRunning& m) {
  auto to = message.initTaskRunning();
  to.setAttempt(number(m.attempt));
  to.setTask(number(m.task));
}

std::uint64_t words(const msg::FreeResults& m) { return words_of_structs<wire::ResultId>(m.results.size()); }
void write(wire::Message::Builder message, const msg::FreeResults& m) {
  write_results(message.initFreeResults(list_size(m.results.size())), m.results);
}

std::uint64_t words(const msg::Shutdown& m) { return words_of(m.reason); }
void write(wire::Message::Builder message, const msg::Shutdown& m) {
  write_text(message.initShutdown(list_size(m.reason.size())), m.reason);
}

std::uint64_t words(const msg::AcquireReplicas& m) { return words_of_structs<wire::Holder>(m.results.size()); }
void write(wire::Message::Builder message, const msg::AcquireReplicas& m) {
  write_holders(message.initAcquireReplicas(list_size(m.results.size())), m.results);
}

std::uint64_t words(const msg::QueryNextUse& m) { return words_of_structs<wire::ResultId>(m.results.size()); }
void write(wire::Message::Builder message, const msg::QueryNextUse& m) {
  write_results(message.initQueryNextUse(list_size(m.results.size())), m.results);
}

std::uint64_t words(const msg::NextUse& m) { return words_of_structs<wire::NextUse>(m.results.size()); }
void write(wire::Message::Builder message, const msg::NextUse& m) {
  auto to = message.initNextUse(list_size(m.results.size()));
  for (std::size_t i = 0; i < m.results.size(); ++i) {
    auto item = to[static_cast<unsigned>(i)];
    item.setTask(number(m.results[i].result.task));
    item.setOutput(m.results[i].result.output);
    item.setRank(m.results[i].rank);
  }
}
static msg::NextUse read(capnp::List<wire::NextUse>::Reader from) {
  msg::NextUse m;
  m.results.reserve(from.size());
  for (const auto item : from) {
    m.results.push_back({{static_cast<TaskId>(item.getTask()), item.getOutput()}, item.getRank()});
  }
  return m;
}

bool read_worker_message(wire::Message::Reader from, std::vector<msg::Message>& batch) {
  switch (from.which()) {
    case wire::Message::ASSIGN:
      batch.emplace_back(read_assign(from.getAssign()));
      return true;
    case wire::Message::ASSIGN_AHEAD:
      batch.emplace_back(read(from.getAssignAhead()));
      return true;
    case wire::Message::TASK_FINISHED:
      batch.emplace_back(read(from.getTaskFinished()));
      return true;
    case wire::Message::GRANT_CREDIT:
      batch.emplace_back(msg::GrantCredit{from.getGrantCredit().getSlots(), from.getGrantCredit().getKib()});
      return true;
    case wire::Message::REGISTER_WORKER:
      batch.emplace_back(read(from.getRegisterWorker()));
      return true;
    case wire::Message::TASK_FAILED:
      batch.emplace_back(read(from.getTaskFailed()));
      return true;
    case wire::Message::TASK_RETURNED:
      batch.emplace_back(read(from.getTaskReturned()));
      return true;
    case wire::Message::REPLICAS_ADDED:
      batch.emplace_back(msg::ReplicasAdded{read_results(from.getReplicasAdded())});
      return true;
    case wire::Message::REPLICAS_DROPPED:
      batch.emplace_back(msg::ReplicasDropped{read_results(from.getReplicasDropped())});
      return true;
    case wire::Message::QUERY_NEXT_USE:
      batch.emplace_back(msg::QueryNextUse{read_results(from.getQueryNextUse())});
      return true;
    case wire::Message::NEXT_USE:
      batch.emplace_back(read(from.getNextUse()));
      return true;
    case wire::Message::ACQUIRE_REPLICAS:
      batch.emplace_back(msg::AcquireReplicas{read_holders(from.getAcquireReplicas())});
      return true;
    case wire::Message::WORKER_HEARTBEAT:
      batch.emplace_back(read(from.getWorkerHeartbeat()));
      return true;
    case wire::Message::WORKER_DRAINING:
      batch.emplace_back(msg::WorkerDraining{read_text(from.getWorkerDraining())});
      return true;
    case wire::Message::WORKER_DIED:
      batch.emplace_back(read(from.getWorkerDied()));
      return true;
    case wire::Message::WORKER_LEAVING:
      batch.emplace_back(msg::WorkerLeaving{read_text(from.getWorkerLeaving())});
      return true;
    case wire::Message::WORKER_REGISTERED: {
      const auto m = from.getWorkerRegistered();
      batch.emplace_back(msg::WorkerRegistered{static_cast<WorkerId>(m.getWorker()), m.getHeartbeatIntervalMs()});
      return true;
    }
    case wire::Message::WORKER_REFUSED:
      batch.emplace_back(msg::WorkerRefused{read_text(from.getWorkerRefused())});
      return true;
    case wire::Message::DEFINE_LAYER: {
      const auto m = from.getDefineLayer();
      batch.emplace_back(msg::DefineLayer{static_cast<LayerId>(m.getLayer()), read_layer(m.getDescription()),
                                          LayerHash{m.getHashHigh(), m.getHashLow()}, m.getTimeLimitMs(),
                                          m.getMemory()});
      return true;
    }
    case wire::Message::FORGET_LAYER:
      batch.emplace_back(msg::ForgetLayer{static_cast<LayerId>(from.getForgetLayer())});
      return true;
    case wire::Message::WORKER_ADDRESS: {
      const auto m = from.getWorkerAddress();
      batch.emplace_back(msg::WorkerAddress{static_cast<WorkerId>(m.getWorker()), read_text(m.getAddress())});
      return true;
    }
    case wire::Message::WORKER_GONE:
      batch.emplace_back(msg::WorkerGone{static_cast<WorkerId>(from.getWorkerGone())});
      return true;
    case wire::Message::RETRACT: {
      const auto m = from.getRetract();
      batch.emplace_back(
          msg::Retract{static_cast<AttemptId>(m.getAttempt()), static_cast<TaskId>(m.getTask()), !m.getKeep()});
      return true;
    }
    case wire::Message::TASK_RUNNING: {
      const auto m = from.getTaskRunning();
      batch.emplace_back(msg::TaskRunning{static_cast<AttemptId>(m.getAttempt()), static_cast<TaskId>(m.getTask())});
      return true;
    }
    case wire::Message::FREE_RESULTS:
      batch.emplace_back(msg::FreeResults{read_results(from.getFreeResults())});
      return true;
    case wire::Message::INVENTORY:
      batch.emplace_back(read(from.getInventory()));
      return true;
    case wire::Message::INVENTORY_TAKEN: {
      const auto m = from.getInventoryTaken();
      batch.emplace_back(msg::InventoryTaken{m.getPart(), read_numbers<LayerId>(m.getLayers())});
      return true;
    }
    case wire::Message::SHUTDOWN:
      batch.emplace_back(msg::Shutdown{read_text(from.getShutdown())});
      return true;
    default:
      return false;
  }
}

}  // namespace tegula::codec
