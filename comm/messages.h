// Every message that processes exchange, as plain values. comm/protocol.capnp is the wire form and the protocol's
// specification; comm/codec.h turns one into the other; inproc:// passes these objects as they are. All task names are
// valid within one scheduler incarnation, which the handshake fixes for the connection's life: a peer of another
// incarnation is refused, so messages need not repeat it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "src/buffer.h"
#include "src/chunk.h"
#include "src/graph.h"
#include "src/ids.h"
#include "src/one_of.h"
#include "tegula/error.h"

namespace tegula::msg {

using LayerPtr = std::shared_ptr<const Layer>;

// Something a worker has so much of and a task occupies while it is bound: {"GPU", 1}. Amounts are positive.
struct Resource {
  std::string name;
  double amount = 0;
  friend bool operator==(const Resource&, const Resource&) = default;
};

// ---- worker -> scheduler ----
struct RegisterWorker {
  std::string name;     // unique among live workers: a second one is refused while the first is heard of
  std::string address;  // where peers and clients fetch from: "tcp://10.0.0.2:40123"
  std::string host;
  std::uint64_t pid = 0;
  std::uint32_t threads = 0;
  std::uint64_t memory_limit = 0;    // bytes; 0: none
  std::string kernel_level;          // "v4"
  std::vector<std::string> kernels;  // names, sorted
  std::uint64_t slots_granted = 0;   // the first GrantCredit
  std::uint64_t kib_granted = ~std::uint64_t{0};
  std::vector<Resource> resources;  // each name once
  std::uint64_t nanny = 0;          // who reports its death: a random number, known to these three only; 0: nobody
  std::uint32_t life = 0;           // the nanny's count of the processes of this name
  std::uint64_t lifetime_ms = 0;    // until it ends in any case, from now; 0: not known
  // Of the process, random: one that registers again replaces its former self, whose connection is gone or as good as.
  std::uint64_t instance = 0;
  std::uint32_t inventory_parts = 0;  // that follow once it is registered: what it holds from before
};
// What a worker holds that this life of the scheduler, or this connection to it, has not heard of. In parts, each
// answered by an InventoryTaken of the same number; until then these results have no name that means anything here.
// More parts than announced may follow, of kernels that were running when the worker registered.
struct Inventory {
  std::uint32_t part = 0;
  struct Held {
    LayerHash layer;
    std::uint32_t index = 0;
    std::uint16_t output = 0;
    std::uint64_t nbytes = 0;
  };
  std::vector<Held> results;
};
struct TaskFinished {
  AttemptId attempt{};
  TaskId task{};
  std::vector<std::uint64_t> nbytes;  // one per output
  std::uint64_t compute_ns = 0;       // time in the kernel
};
struct TaskFailed {
  AttemptId attempt{};
  TaskId task{};
  ErrorInfo error;
};
// The attempt did not and will not start on this worker; it comes back. The answer to Retract when it had not started,
// or on the worker's own account (inputs that no holder could give are listed, each with the holder that lacked it).
struct TaskReturned {
  AttemptId attempt{};
  TaskId task{};
  struct Missing {
    ResultId result;
    WorkerId holder{};
    bool unreachable = false;  // the holder did not say that it lacks it: it could not be asked
  };
  std::vector<Missing> missing;
};
// The answer to a Retract that does not cancel and came too late: the attempt executes, and will be answered.
struct TaskRunning {
  AttemptId attempt{};
  TaskId task{};
};
// The worker holds copies now (fetched as inputs), or no longer does.
struct ReplicasAdded {
  std::vector<ResultId> results;
};
struct ReplicasDropped {
  std::vector<ResultId> results;
};
// A worker whose memory is short asks when its results are needed next, to put the last ones on disk.
struct QueryNextUse {
  std::vector<ResultId> results;
};
// Credit, cumulative since registration (DESIGN D8). The scheduler may have bound at most `slots` attempts in all.
// Roots, and tasks that wait for other workers, come only while Assign::kib of all attempts together is less than
// `kib`; the last one may go beyond.
struct GrantCredit {
  static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
  std::uint64_t slots = 0;
  std::uint64_t kib = kNoLimit;
};
// The mixing function of the hash below.
constexpr std::uint64_t mix(AttemptId attempt) {
  std::uint64_t x = static_cast<std::uint64_t>(attempt) + 0x632BE59BD9B4E019ull;
  x = (x ^ (x >> 31)) * 0xD1342543DE82EF95ull;
  x = (x ^ (x >> 29)) * 0xAF251AF3B0F025B5ull;
  return x ^ (x >> 32);
}
// What a worker got from another one since its last heartbeat: how many requests, and the fastest of them.
struct Transfers {
  WorkerId from{};
  std::uint64_t small = 0, small_ns = 0;             // requests for less than kSmall bytes in all
  std::uint64_t large = 0, large_ns = 0, bytes = 0;  // the others; bytes of the fastest
  static constexpr std::uint64_t kSmall = 64u << 10;
};
struct WorkerHeartbeat {
  std::uint64_t attempts_hash =
      0;                   // xor of mix(attempt) over the attempts this worker holds (assigned and not yet answered)
  std::uint64_t sent = 0;  // how many attempt answers (finished, failed, returned) this worker has sent, and
  std::uint64_t received = 0;        // how many assignments it has received: what the hash speaks of
  std::uint64_t managed_bytes = 0;   // of values in memory: results, inputs, what is being sent
  std::uint64_t reserved_bytes = 0;  // for running tasks, and for what is on its way into memory
  std::uint64_t spilled_bytes = 0;   // of results that are on disk; those read back are in memory as well
  std::uint64_t kept_bytes = 0;      // free blocks, kept for reuse
  std::uint64_t rss_bytes = 0;       // what of this is neither managed nor kept is the process's own: unmanaged
  std::uint64_t disk_written = 0, disk_read = 0;  // bytes of spilled values, since start
  bool disk_full = false;                         // nothing can go to disk: what does not fit into memory waits
  std::uint64_t bytes_in = 0, bytes_out = 0;      // of results, to and from peers and clients, since start
  std::uint64_t tasks_done = 0;
  std::uint32_t executing = 0, ready = 0, waiting = 0;
  std::vector<AttemptId> running;    // that a thread executes right now: to be blamed should the worker die
  std::vector<Transfers> transfers;  // by peers, not all of them
};
struct WorkerLeaving {  // orderly: nothing more will be executed; what it held is gone when the connection closes
  std::string reason;
};
// The worker wants to end in order: it is given nothing more, finishes what it has, its results go to others, and then
// it is sent away by Shutdown.
struct WorkerDraining {
  std::string reason;
};
// How a worker process ended, as its nanny found out.
enum class DeathCause : std::uint8_t {
  kSignal = 0,       // one that a process brings upon itself: a segmentation fault, abort()
  kExit = 1,         // exit() in the middle of its work
  kOutOfMemory = 2,  // the kernel killed it for want of memory
  kOverMemory = 3,   // its nanny killed it: its kernels had taken too much
  kHung = 4,         // its nanny killed it: its event loop did not run
  kKilled = 5,       // somebody else killed it, for reasons that are not known
  kOrderly = 6,      // it was to end, or somebody had stopped it: no task is to blame
};
// The only message of a connection by which a nanny reports the death of a worker. It may come before or after the end
// of the worker's own connection, and never comes where the nanny died too.
struct WorkerDied {
  std::string name;         // for logs
  std::uint64_t nanny = 0;  // as the worker registered
  std::uint32_t life = 0;
  DeathCause cause = DeathCause::kKilled;
  std::string detail;                // "signal 11 (Segmentation fault)"
  std::vector<AttemptId> executing;  // that its threads executed when it died
};

// ---- scheduler -> worker ----
struct WorkerRegistered {
  WorkerId worker{};
  std::uint64_t heartbeat_interval_ms = 0;
};
struct WorkerRefused {
  std::string reason;
};
// Which of a part's results are kept: for each of them the number that its layer has here, or 0 where it is to be
// freed.
struct InventoryTaken {
  std::uint32_t part = 0;
  std::vector<LayerId> layers;
};
// Precedes the first assignment of the layer's tasks on this connection. Input rules name layers by LayerId.
struct DefineLayer {
  LayerId layer{};
  LayerPtr description;
  // For the keys that a worker writes into its errors; it can't know the hashes of the layers this one reads
  LayerHash hash;
  std::uint64_t time_limit_ms = 0;  // of each task; 0: the worker's own
  std::uint64_t memory = 0;         // bytes that are reserved for each task at least, for its outputs and scratch
};
struct ForgetLayer {
  LayerId layer{};
};
// Where workers listen; precedes the first message that names the worker on this connection.
struct WorkerAddress {
  WorkerId worker{};
  std::string address;
};
// That worker is lost: what is asked of it will not come. Its number is not used again. For clients too.
struct WorkerGone {
  WorkerId worker{};
};
struct Assign {
  AttemptId attempt{};
  TaskId task{};
  std::int64_t priority = 0;  // smaller first
  // Holders of inputs that this worker lacks, as far as the scheduler knows: flat, in the order of for_each_producer
  // over the rules. An input that is here neither and has no holder is made by an attempt that this worker has (the
  // task was bound ahead): it waits for that one, and comes back when that one ends without a result.
  struct Holder {
    ResultId result;
    WorkerId worker{};
  };
  std::vector<Holder> holders;
  // Inputs that are made elsewhere, by attempts that have not ended as far as the scheduler knows. The worker asks
  // theirs; the task comes back when one of them ends without a result.
  struct Awaited {
    ResultId result;
    WorkerId worker{};
    AttemptId attempt{};
  };
  std::vector<Awaited> awaited;
  // Memory that it was taken to need there when it was bound, rounded up: missing inputs, and the outputs or what was
  // asked for. 0 for tasks bound ahead, and for workers without a limit.
  std::uint32_t kib = 0;
};
// Asks for an attempt back. Answered by TaskReturned when it had not started. Otherwise, with `cancel` (nobody needs it
// any more) the worker lets it finish (abandoned: the result is not kept) and answers TaskReturned then; without (it
// could start earlier elsewhere) it answers TaskRunning and goes on.
struct Retract {
  AttemptId attempt{};
  TaskId task{};
  bool cancel = true;
};
struct FreeResults {
  std::vector<ResultId> results;
};
struct Shutdown {
  std::string reason;
};
// The answer to QueryNextUse.
struct NextUse {
  static constexpr std::int64_t kNever = INT64_MAX;  // no task that is to be computed reads it
  struct Item {
    ResultId result;
    std::int64_t rank = kNever;  // of the first unfinished task that reads it: smaller ones start earlier
  };
  std::vector<Item> results;
};
// Fetch copies of these results from the workers named (one result may be named with several) and keep them. Each
// result is answered: in ReplicasAdded when it is here, in ReplicasDropped when it can't be had.
struct AcquireReplicas {
  std::vector<Assign::Holder> results;
};

// ---- client -> scheduler ----
// First message of a client connection. session 0: a new session; else re-attach (within the grace) with the secret it
// was given.
struct AttachClient {
  std::uint64_t session = 0;
  std::uint64_t secret = 0;
  std::string name;
  double share = 1;  // weight among clients that compete for workers; positive
};
struct WantRange {  // outputs of tasks [begin, end) of a layer of this session
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  std::uint32_t begin = 0, end = 0;
};
// Layers are numbered by the client, ascending over the session; input rules name earlier numbers of the session. Each
// want counts one for this client; ReleaseWants takes one back. Messages of a session that change it carry a sequence
// number from 1: after a re-attach the client repeats those not yet acknowledged, and the scheduler skips those it has
// had.
struct SubmitOptions {
  std::int32_t priority = 0;  // of what this submission asks for first; greater ones go first, before any share
  // Of the layers that come with this submission and are not known yet:
  std::uint16_t retries = 0;         // failures of a task that are forgiven
  std::uint32_t retry_delay_ms = 0;  // before the first further attempt; doubled for each one after it
  std::vector<std::string> workers;  // names, addresses or hosts of the workers that may run them; empty: any
  bool allow_other_workers = false;  // others may while none of these is there
  std::vector<Resource> resources;   // occupied by each task; each name once
  std::uint64_t time_limit_ms = 0;   // of each task; 0: the worker's own
  friend bool operator==(const SubmitOptions&, const SubmitOptions&) = default;
};
struct Submit {
  std::uint64_t sequence = 0;
  LayerNumber first_layer = 0;  // the number of layers[0]; the rest follow
  std::vector<LayerPtr> layers;
  std::vector<WantRange> wants;
  SubmitOptions options;
};
struct ReleaseWants {
  std::uint64_t sequence = 0;
  std::vector<WantRange> wants;
};
// The client will name these layers no more.
struct ForgetLayers {
  std::uint64_t sequence = 0;
  std::vector<LayerNumber> layers;
};
// Wanted results that are not finished end as cancelled; their wants stay counted until released.
struct CancelWants {
  std::uint64_t sequence = 0;
  std::vector<WantRange> wants;
};
struct CloseClient {};
struct QueryStatus {
  std::uint64_t request = 0;
};
// Asks for Progress messages (about ten a second while something changes); interval 0 ends them.
struct SubscribeProgress {
  std::uint32_t interval_ms = 0;
};

// A question about the scheduler's state; it changes nothing. Answered by a QueryReply, whose text may come in pieces:
// the next one is asked for with the offset that was reached.
enum class QueryKind : std::uint8_t {
  kStatus = 0,  // workers, clients, tasks by state
  kWhy = 1,     // subject: a key. One sentence: why it isn't running, or where it stands
  kStory = 2,   // subject: a key. Its transitions
  kTask = 3,    // subject: a key. State, sizes, who holds it, what it reads
  kWorker = 4,  // subject: a worker. What it holds and what is bound to it
  kDump = 5,    // everything
};
struct Query {
  std::uint64_t request = 0;  // numbered by the client
  QueryKind kind = QueryKind::kStatus;
  std::string subject;
  std::uint64_t offset = 0;
};
// An operator's order. Answered by a QueryReply once it is done.
enum class CommandKind : std::uint8_t {
  kCancelTask = 0,    // subject: a key. Ends as cancelled for everybody who wants it or what needs it
  kCancelClient = 1,  // subject: a client. Everything it wants that is not finished ends as cancelled
  kRetire = 2,        // subject: a worker. Its results go to others, then it is sent away
  kReplicate = 3,     // subject: a key, or ranges; count: how many workers shall hold each
  kRebalance = 4,     // results move from workers that hold more than others
};
struct Command {
  std::uint64_t request = 0;  // numbered by the client, together with queries
  CommandKind kind = CommandKind::kCancelTask;
  std::string subject;
  std::uint64_t count = 0;
  std::vector<WantRange> ranges;  // kReplicate: results of this session's layers, instead of a subject
};

// ---- scheduler -> client ----
struct ClientAttached {
  std::uint64_t session = 0;
  std::uint64_t secret = 0;
  std::uint64_t last_sequence = 0;  // the last one applied; earlier ones need no repetition
};
struct SubmitAccepted {  // acknowledges the sequence numbers up to this one
  std::uint64_t sequence = 0;
};
struct SubmitRefused {  // nothing of that submission was taken
  std::uint64_t sequence = 0;
  ErrorInfo error;
};
struct ResultReady {
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  std::uint32_t index = 0;
  ResultId result;  // the name to fetch it by
  std::uint64_t nbytes = 0;
  std::vector<WorkerId> holders;
};
struct ResultErred {
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  std::uint32_t index = 0;
  ErrorInfo error;
};
struct ResultLost {  // was ready; its workers are gone and it is being computed again
  LayerNumber layer = 0;
  std::uint16_t output = 0;
  std::uint32_t index = 0;
};
struct Progress {
  std::uint64_t total = 0;  // tasks demanded by this client's unfinished wants and those done for them
  std::uint64_t done = 0;
  std::uint64_t executing = 0;
  std::uint32_t workers = 0;
  std::uint32_t threads = 0;
};
struct StatusReply {
  std::uint64_t request = 0;
  struct Worker {
    WorkerId worker{};
    std::string name, address, host, kernel_level;
    std::uint64_t pid = 0;
    std::uint32_t threads = 0;
    std::uint64_t memory_limit = 0;
    std::uint64_t managed_bytes = 0, rss_bytes = 0, tasks_done = 0;
    std::uint32_t processing = 0;
    std::uint64_t reserved_bytes = 0, spilled_bytes = 0, kept_bytes = 0;
  };
  std::vector<Worker> workers;
  std::uint64_t released = 0, waiting = 0, no_worker = 0, queued = 0, processing = 0, memory = 0, erred = 0;
};

struct QueryReply {
  std::uint64_t request = 0;
  bool failed = false;
  ErrorInfo error;              // when it failed
  std::string text;             // JSON, or a part of it
  std::uint64_t remaining = 0;  // bytes of text after this part
};

// ---- data: worker or client -> worker, and back ----
struct Fetch {
  std::uint64_t request = 0;  // numbered by the asker
  struct Item {
    ResultId result;
    Box box;  // empty: the whole chunk
  };
  std::vector<Item> items;
  // Of the worker that is asked. While it has that attempt, or has not been given it yet, a result that it lacks is to
  // come, and the request is answered when the attempt ends. 0: it is answered at once.
  AttemptId attempt{};
  std::uint64_t at_most = 0;  // bytes of an item that the asker takes now; 0: any number
};
// kLarge: it is there and has more than `at_most` bytes.
enum class FetchStatus : std::uint8_t { kOk = 0, kMissing = 1, kBusy = 2, kBadBox = 3, kLarge = 4 };
struct FetchReply {
  std::uint64_t request = 0;
  struct Item {
    FetchStatus status = FetchStatus::kOk;
    Chunk chunk;  // kOk: C-contiguous; its bytes travel out of band, straight into memory of the receiver's allocator
  };
  std::vector<Item> items;  // as asked
};

using MessageAlternatives =
    std::variant<RegisterWorker, TaskFinished, TaskFailed, TaskReturned, TaskRunning, ReplicasAdded, ReplicasDropped,
                 GrantCredit, WorkerHeartbeat, WorkerLeaving, WorkerDraining, WorkerDied, WorkerRegistered,
                 WorkerRefused, DefineLayer, ForgetLayer, WorkerAddress, Assign, Retract, FreeResults, Shutdown,
                 AttachClient, Submit, ReleaseWants, ForgetLayers, CancelWants, CloseClient, QueryStatus,
                 SubscribeProgress, ClientAttached, SubmitAccepted, SubmitRefused, ResultReady, ResultErred, ResultLost,
                 Progress, StatusReply, Fetch, FetchReply, AcquireReplicas, Query, Command, QueryReply, WorkerGone,
                 QueryNextUse, NextUse, Inventory, InventoryTaken>;

// One of them. Copies, moves and ends of so many types are compiled once (messages.cc), not in every file that holds a
// message.
class Message : public MessageAlternatives {
 public:
  Message();
  template <OneOf<MessageAlternatives> T>
  Message(T&& message) : MessageAlternatives(std::in_place_type<std::remove_cvref_t<T>>, std::forward<T>(message)) {}
  Message(const Message& other);
  Message(Message&& other) noexcept;
  Message& operator=(const Message& other);
  Message& operator=(Message&& other) noexcept;
  ~Message();
};

std::string_view name_of(const Message& message);  // "TaskFinished", for logs

}  // namespace tegula::msg
