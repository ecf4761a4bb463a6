// Messages between client and scheduler.
#include "comm/codec_capnp.h"

namespace tegula::codec {

namespace {

void write_wants(capnp::List<wire::WantRange>::Builder to, const std::vector<msg::WantRange>& from) {
  for (capnp::uint i = 0; i < to.size(); ++i) {
    auto want = to[i];
    want.setLayer(from[i].layer);
    want.setOutput(from[i].output);
    want.setBegin(from[i].begin);
    want.setEnd(from[i].end);
  }
}

std::vector<msg::WantRange> read_wants(capnp::List<wire::WantRange>::Reader from) {
  check_structs<wire::WantRange>(from, "wants");
  std::vector<msg::WantRange> wants;
  wants.reserve(from.size());
  for (const auto want : from) {
    if (want.getBegin() > want.getEnd()) {
      invalid("wants from " + std::to_string(want.getBegin()) + " to " + std::to_string(want.getEnd()));
    }
    wants.push_back({want.getLayer(), want.getOutput(), want.getBegin(), want.getEnd()});
  }
  return wants;
}

std::uint64_t words_of_wants(const std::vector<msg::WantRange>& wants) {
  return words_of_struct<wire::Wants>() + words_of_structs<wire::WantRange>(wants.size());
}

void write_wants(wire::Wants::Builder to, std::uint64_t sequence, const std::vector<msg::WantRange>& from) {
  to.setSequence(sequence);
  write_wants(to.initWants(list_size(from.size())), from);
}

}  // namespace

// ---- client -> scheduler

std::uint64_t words(const msg::AttachClient& m) { return words_of_struct<wire::AttachClient>() + words_of(m.name); }
void write(wire::Message::Builder message, const msg::AttachClient& m) {
  auto to = message.initAttachClient();
  to.setSession(m.session);
  to.setSecret(m.secret);
  write_text(to.initName(list_size(m.name.size())), m.name);
  to.setShare(m.share);
}

static std::uint64_t words_of(const msg::SubmitOptions& m) {
  return words_of_struct<wire::SubmitOptions>() + words_of(m.workers) + words_of(m.resources);
}
static void write_options(wire::SubmitOptions::Builder to, const msg::SubmitOptions& m) {
  to.setPriority(m.priority);
  to.setRetries(m.retries);
  to.setRetryDelayMs(m.retry_delay_ms);
  write_texts(to.initWorkers(list_size(m.workers.size())), m.workers);
  to.setAllowOtherWorkers(m.allow_other_workers);
  write_resources(to.initResources(list_size(m.resources.size())), m.resources);
  to.setTimeLimitMs(m.time_limit_ms);
}
static msg::SubmitOptions read(wire::SubmitOptions::Reader from) {
  msg::SubmitOptions m;
  m.priority = from.getPriority();
  m.retries = from.getRetries();
  m.retry_delay_ms = from.getRetryDelayMs();
  m.workers = read_texts(from.getWorkers());
  m.allow_other_workers = from.getAllowOtherWorkers();
  m.resources = read_resources(from.getResources());
  m.time_limit_ms = from.getTimeLimitMs();
  return m;
}

std::uint64_t words(const msg::Submit& m) {
  std::uint64_t needed = words_of_struct<wire::Submit>() + words_of_structs<wire::Layer>(m.layers.size()) +
                         words_of_structs<wire::WantRange>(m.wants.size());
  for (const msg::LayerPtr& layer : m.layers) needed += words_of(*layer);
  if (m.options != msg::SubmitOptions{}) needed += words_of(m.options);
  return needed;
}
void write(wire::Message::Builder message, const msg::Submit& m) {
  auto to = message.initSubmit();
  to.setSequence(m.sequence);
  to.setFirstLayer(m.first_layer);
  auto layers = to.initLayers(list_size(m.layers.size()));
  for (capnp::uint i = 0; i < layers.size(); ++i) write_layer(layers[i], *m.layers[i]);
  write_wants(to.initWants(list_size(m.wants.size())), m.wants);
  if (m.options != msg::SubmitOptions{}) write_options(to.initOptions(), m.options);
}
static msg::Submit read(wire::Submit::Reader from) {
  msg::Submit m;
  m.sequence = from.getSequence();
  m.first_layer = from.getFirstLayer();
  const auto layers = from.getLayers();
  check_structs<wire::Layer>(layers, "layers");
  m.layers.reserve(layers.size());
  for (const auto layer : layers) m.layers.push_back(read_layer(layer));
  m.wants = read_wants(from.getWants());
  m.options = read(from.getOptions());
  return m;
}

std::uint64_t words(const msg::ReleaseWants& m) { return words_of_wants(m.wants); }
void write(wire::Message::Builder message, const msg::ReleaseWants& m) {
  write_wants(message.initReleaseWants(), m.sequence, m.wants);
}

std::uint64_t words(const msg::ForgetLayers& m) { return words_of_struct<wire::ForgetLayers>() + words_of(m.layers); }
void write(wire::Message::Builder message, const msg::ForgetLayers& m) {
  auto to = message.initForgetLayers();
  to.setSequence(m.sequence);
  write_numbers(to.initLayers(list_size(m.layers.size())), m.layers);
}

std::uint64_t words(const msg::CancelWants& m) { return words_of_wants(m.wants); }
void write(wire::Message::Builder message, const msg::CancelWants& m) {
  write_wants(message.initCancelWants(), m.sequence, m.wants);
}

std::uint64_t words(const msg::CloseClient&) { return 0; }
void write(wire::Message::Builder message, const msg::CloseClient&) { message.setCloseClient(); }

std::uint64_t words(const msg::QueryStatus&) { return 0; }
void write(wire::Message::Builder message, const msg::QueryStatus& m) { message.setQueryStatus(m.request); }

std::uint64_t words(const msg::SubscribeProgress&) { return 0; }
void write(wire::Message::Builder message, const msg::SubscribeProgress& m) {
  message.setSubscribeProgress(m.interval_ms);
}

// ---- scheduler -> client

std::uint64_t words(const msg::ClientAttached&) { return words_of_struct<wire::ClientAttached>(); }
void write(wire::Message::Builder message, const msg::ClientAttached& m) {
  auto to = message.initClientAttached();
  to.setSession(m.session);
  to.setSecret(m.secret);
  to.setLastSequence(m.last_sequence);
}

std::uint64_t words(const msg::SubmitAccepted&) { return 0; }
void write(wire::Message::Builder message, const msg::SubmitAccepted& m) { message.setSubmitAccepted(m.sequence); }

std::uint64_t words(const msg::SubmitRefused& m) { return words_of_struct<wire::SubmitRefused>() + words_of(m.error); }
void write(wire::Message::Builder message, const msg::SubmitRefused& m) {
  auto to = message.initSubmitRefused();
  to.setSequence(m.sequence);
  write_error(to.initError(), m.error);
}

std::uint64_t words(const msg::ResultReady& m) { return words_of(m.holders); }
void write(wire::Message::Builder message, const msg::ResultReady& m) {
  auto to = message.initResultReady();
  to.setLayer(m.layer);
  to.setOutput(m.output);
  to.setIndex(m.index);
  to.setTask(static_cast<std::uint64_t>(m.result.task));
  to.setResultOutput(m.result.output);
  to.setNbytes(m.nbytes);
  write_numbers(to.initHolders(list_size(m.holders.size())), m.holders);
}
static msg::ResultReady read(wire::Message::ResultReady::Reader from) {
  msg::ResultReady m;
  m.layer = from.getLayer();
  m.output = from.getOutput();
  m.index = from.getIndex();
  m.result = {static_cast<TaskId>(from.getTask()), from.getResultOutput()};
  m.nbytes = from.getNbytes();
  m.holders = read_numbers<WorkerId>(from.getHolders());
  return m;
}

std::uint64_t words(const msg::ResultErred& m) { return words_of_struct<wire::ResultErred>() + words_of(m.error); }
void write(wire::Message::Builder message, const msg::ResultErred& m) {
  auto to = message.initResultErred();
  to.setLayer(m.layer);
  to.setOutput(m.output);
  to.setIndex(m.index);
  write_error(to.initError(), m.error);
}

std::uint64_t words(const msg::ResultLost&) { return words_of_struct<wire::ResultLost>(); }
void write(wire::Message::Builder message, const msg::ResultLost& m) {
  auto to = message.initResultLost();
  to.setLayer(m.layer);
  to.setOutput(m.output);
  to.setIndex(m.index);
}

std::uint64_t words(const msg::Progress&) { return words_of_struct<wire::Progress>(); }
void write(wire::Message::Builder message, const msg::Progress& m) {
  auto to = message.initProgress();
  to.setTotal(m.total);
  to.setDone(m.done);
  to.setExecuting(m.executing);
  to.setWorkers(m.workers);
  to.setThreads(m.threads);
}

static std::uint64_t words_of_worker(const msg::StatusReply::Worker& w) {
  return words_of(w.name) + words_of(w.address) + words_of(w.host) + words_of(w.kernel_level);
}
static void write_worker(wire::StatusReply::Worker::Builder to, const msg::StatusReply::Worker& w) {
  to.setWorker(static_cast<std::uint32_t>(w.worker));
  write_text(to.initName(list_size(w.name.size())), w.name);
  write_text(to.initAddress(list_size(w.address.size())), w.address);
  write_text(to.initHost(list_size(w.host.size())), w.host);
  write_text(to.initKernelLevel(list_size(w.kernel_level.size())), w.kernel_level);
  to.setPid(w.pid);
  to.setThreads(w.threads);
  to.setMemoryLimit(w.memory_limit);
  to.setManagedBytes(w.managed_bytes);
  to.setRssBytes(w.rss_bytes);
  to.setTasksDone(w.tasks_done);
  to.setProcessing(w.processing);
  to.setReservedBytes(w.reserved_bytes);
  to.setSpilledBytes(w.spilled_bytes);
  to.setKeptBytes(w.kept_bytes);
}
static msg::StatusReply::Worker read(wire::StatusReply::Worker::Reader from) {
  msg::StatusReply::Worker w;
  w.worker = static_cast<WorkerId>(from.getWorker());
  w.name = read_text(from.getName());
  w.address = read_text(from.getAddress());
  w.host = read_text(from.getHost());
  w.kernel_level = read_text(from.getKernelLevel());
  w.pid = from.getPid();
  w.threads = from.getThreads();
  w.memory_limit = from.getMemoryLimit();
  w.managed_bytes = from.getManagedBytes();
  w.rss_bytes = from.getRssBytes();
  w.tasks_done = from.getTasksDone();
  w.processing = from.getProcessing();
  w.reserved_bytes = from.getReservedBytes();
  w.spilled_bytes = from.getSpilledBytes();
  w.kept_bytes = from.getKeptBytes();
  return w;
}

std::uint64_t words(const msg::StatusReply& m) {
  std::uint64_t needed =
      words_of_struct<wire::StatusReply>() + words_of_structs<wire::StatusReply::Worker>(m.workers.size());
  for (const auto& worker : m.workers) needed += words_of_worker(worker);
  return needed;
}
void write(wire::Message::Builder message, const msg::StatusReply& m) {
  auto to = message.initStatusReply();
  to.setRequest(m.request);
  auto workers = to.initWorkers(list_size(m.workers.size()));
  for (capnp::uint i = 0; i < workers.size(); ++i) write_worker(workers[i], m.workers[i]);
  to.setReleased(m.released);
  to.setWaiting(m.waiting);
  to.setNoWorker(m.no_worker);
  to.setQueued(m.queued);
  to.setProcessing(m.processing);
  to.setMemory(m.memory);
  to.setErred(m.erred);
}
static msg::StatusReply read(wire::StatusReply::Reader from) {
  msg::StatusReply m;
  m.request = from.getRequest();
  const auto workers = from.getWorkers();
  check_structs<wire::StatusReply::Worker>(workers, "workers");
  m.workers.reserve(workers.size());
  for (const auto worker : workers) m.workers.push_back(read(worker));
  m.released = from.getReleased();
  m.waiting = from.getWaiting();
  m.no_worker = from.getNoWorker();
  m.queued = from.getQueued();
  m.processing = from.getProcessing();
  m.memory = from.getMemory();
  m.erred = from.getErred();
  return m;
}

template <typename Kind>
static Kind read_kind(std::uint8_t number, Kind last, const char* what) {
  if (number > static_cast<std::uint8_t>(last))
    invalid(std::string(what) + " of unknown kind " + std::to_string(number));
  return static_cast<Kind>(number);
}

std::uint64_t words(const msg::Query& m) { return words_of_struct<wire::Query>() + words_of(m.subject); }
void write(wire::Message::Builder message, const msg::Query& m) {
  auto to = message.initQuery();
  to.setRequest(m.request);
  to.setKind(static_cast<std::uint8_t>(m.kind));
  write_text(to.initSubject(list_size(m.subject.size())), m.subject);
  to.setOffset(m.offset);
}

std::uint64_t words(const msg::Command& m) {
  return words_of_struct<wire::Command>() + words_of(m.subject) + words_of_structs<wire::WantRange>(m.ranges.size());
}
void write(wire::Message::Builder message, const msg::Command& m) {
  auto to = message.initCommand();
  to.setRequest(m.request);
  to.setKind(static_cast<std::uint8_t>(m.kind));
  write_text(to.initSubject(list_size(m.subject.size())), m.subject);
  to.setCount(m.count);
  write_wants(to.initRanges(list_size(m.ranges.size())), m.ranges);
}

std::uint64_t words(const msg::QueryReply& m) {
  return words_of_struct<wire::QueryReply>() + words_of(m.error) + words_of(m.text);
}
void write(wire::Message::Builder message, const msg::QueryReply& m) {
  auto to = message.initQueryReply();
  to.setRequest(m.request);
  to.setFailed(m.failed);
  write_error(to.initError(), m.error);
  write_text(to.initText(list_size(m.text.size())), m.text);
  to.setRemaining(m.remaining);
}

bool read_client_message(wire::Message::Reader from, std::vector<msg::Message>& batch) {
  switch (from.which()) {
    case wire::Message::RESULT_READY:
      batch.emplace_back(read(from.getResultReady()));
      return true;
    case wire::Message::ATTACH_CLIENT: {
      const auto m = from.getAttachClient();
      batch.emplace_back(msg::AttachClient{m.getSession(), m.getSecret(), read_text(m.getName()), m.getShare()});
      return true;
    }
    case wire::Message::SUBMIT:
      batch.emplace_back(read(from.getSubmit()));
      return true;
    case wire::Message::RELEASE_WANTS: {
      const auto m = from.getReleaseWants();
      batch.emplace_back(msg::ReleaseWants{m.getSequence(), read_wants(m.getWants())});
      return true;
    }
    case wire::Message::FORGET_LAYERS: {
      const auto m = from.getForgetLayers();
      batch.emplace_back(msg::ForgetLayers{m.getSequence(), read_numbers<LayerNumber>(m.getLayers())});
      return true;
    }
    case wire::Message::CANCEL_WANTS: {
      const auto m = from.getCancelWants();
      batch.emplace_back(msg::CancelWants{m.getSequence(), read_wants(m.getWants())});
      return true;
    }
    case wire::Message::CLOSE_CLIENT:
      batch.emplace_back(msg::CloseClient{});
      return true;
    case wire::Message::QUERY_STATUS:
      batch.emplace_back(msg::QueryStatus{from.getQueryStatus()});
      return true;
    case wire::Message::SUBSCRIBE_PROGRESS:
      batch.emplace_back(msg::SubscribeProgress{from.getSubscribeProgress()});
      return true;
    case wire::Message::CLIENT_ATTACHED: {
      const auto m = from.getClientAttached();
      batch.emplace_back(msg::ClientAttached{m.getSession(), m.getSecret(), m.getLastSequence()});
      return true;
    }
    case wire::Message::SUBMIT_ACCEPTED:
      batch.emplace_back(msg::SubmitAccepted{from.getSubmitAccepted()});
      return true;
    case wire::Message::SUBMIT_REFUSED: {
      const auto m = from.getSubmitRefused();
      batch.emplace_back(msg::SubmitRefused{m.getSequence(), read_error(m.getError())});
      return true;
    }
    case wire::Message::RESULT_ERRED: {
      const auto m = from.getResultErred();
      batch.emplace_back(msg::ResultErred{m.getLayer(), m.getOutput(), m.getIndex(), read_error(m.getError())});
      return true;
    }
    case wire::Message::RESULT_LOST: {
      const auto m = from.getResultLost();
      batch.emplace_back(msg::ResultLost{m.getLayer(), m.getOutput(), m.getIndex()});
      return true;
    }
    case wire::Message::PROGRESS: {
      const auto m = from.getProgress();
      batch.emplace_back(msg::Progress{m.getTotal(), m.getDone(), m.getExecuting(), m.getWorkers(), m.getThreads()});
      return true;
    }
    case wire::Message::STATUS_REPLY:
      batch.emplace_back(read(from.getStatusReply()));
      return true;
    case wire::Message::QUERY: {
      const auto m = from.getQuery();
      batch.emplace_back(msg::Query{m.getRequest(), read_kind(m.getKind(), msg::QueryKind::kDump, "a query"),
                                    read_text(m.getSubject()), m.getOffset()});
      return true;
    }
    case wire::Message::COMMAND: {
      const auto m = from.getCommand();
      batch.emplace_back(msg::Command{m.getRequest(), read_kind(m.getKind(), msg::CommandKind::kRebalance, "a command"),
                                      read_text(m.getSubject()), m.getCount(), read_wants(m.getRanges())});
      return true;
    }
    case wire::Message::QUERY_REPLY: {
      const auto m = from.getQueryReply();
      batch.emplace_back(msg::QueryReply{m.getRequest(), m.getFailed(), read_error(m.getError()),
                                         read_text(m.getText()), m.getRemaining()});
      return true;
    }
    default:
      return false;
  }
}

}  // namespace tegula::codec
