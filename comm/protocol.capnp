@0xd6b7f0a3c1e94a58;
# The control messages of Tegula's protocol, version 1. This file is their specification; docs/wire.md has the handshake and the frame that
# carry them. A frame's control part is one Batch; the bulk buffers of a frame follow it out of band and belong, in order, to the chunks of its
# FetchReply messages.
#
# Rules that a receiver enforces (a breach ends the connection):
# - one segment table, no bytes after the last segment, traversal limit = size of the control part;
# - at most 65536 messages in a batch; every list is at least as long on the wire as its count says (no lists upgraded from smaller elements);
# - dtypes, error codes, fetch statuses, kinds of queries and commands, causes of death are known numbers; dimensions at most 16 (task grids: 32); sizes not negative; steps not 0;
# - a task grid's product is at most 2^31; the bytes of a chunk are exactly those of its shape and dtype.
#
# Numbers: tasks, attempts, layers, workers are names within one life of the scheduler (its incarnation, fixed by the handshake). A task is its
# layer in the high 32 bits and its index in the low ones. Byte counts are bytes, times are in the unit their name ends with.
#
# Evolution: every change is a new protocol version. Fields and union members are only ever appended, so that a later version can learn to
# speak an earlier one too.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tegula::wire");

struct Batch {
  messages @0 :List(Message);  # in order of sending
}

# The messages sent once per task lie flat in the union; the others behind a pointer. What each means: comm/messages.h, by the same name.
struct Message {
  union {
    assign :group {
      attempt @0 :UInt64;
      task @1 :UInt64;
      priority @2 :Int64;      # smaller first
      holders @3 :List(Holder);
      kib @61 :UInt32;         # of memory
    }
    taskFinished :group {
      attempt @4 :UInt64;
      task @5 :UInt64;
      computeNs @6 :UInt64;
      nbytes @7 :List(UInt64); # one per output
    }
    grantCredit :group {
      slots @8 :UInt64;        # cumulative, both
      kib @62 :UInt64;
    }
    resultReady :group {
      task @9 :UInt64;
      nbytes @10 :UInt64;
      layer @11 :UInt32;
      index @12 :UInt32;
      output @13 :UInt16;
      resultOutput @14 :UInt16;
      holders @15 :List(UInt32);
    }

    registerWorker @16 :RegisterWorker;
    taskFailed @17 :TaskFailed;
    taskReturned @18 :TaskReturned;
    replicasAdded @19 :List(ResultId);
    replicasDropped @20 :List(ResultId);
    workerHeartbeat @21 :WorkerHeartbeat;
    workerLeaving @22 :Text;         # the reason

    workerRegistered @23 :WorkerRegistered;
    workerRefused @24 :Text;         # the reason
    defineLayer @25 :DefineLayer;
    forgetLayer @26 :UInt32;
    workerAddress @27 :WorkerAddress;
    retract @28 :Retract;
    freeResults @29 :List(ResultId);
    shutdown @30 :Text;              # the reason

    attachClient @31 :AttachClient;
    submit @32 :Submit;
    releaseWants @33 :Wants;
    forgetLayers @34 :ForgetLayers;
    cancelWants @35 :Wants;
    closeClient @36 :Void;
    queryStatus @37 :UInt64;         # the request's number
    subscribeProgress @38 :UInt32;   # interval in milliseconds; 0: no more

    clientAttached @39 :ClientAttached;
    submitAccepted @40 :UInt64;      # the sequence number
    submitRefused @41 :SubmitRefused;
    resultErred @42 :ResultErred;
    resultLost @43 :ResultLost;
    progress @44 :Progress;
    statusReply @45 :StatusReply;

    fetch @46 :Fetch;
    fetchReply @47 :FetchReply;

    acquireReplicas @48 :List(Holder);
    query @49 :Query;
    command @50 :Command;
    queryReply @51 :QueryReply;
    workerDraining @57 :Text;        # the reason
    workerDied @58 :WorkerDied;      # a nanny -> scheduler
    taskRunning @52 :Retract;        # worker -> scheduler: the attempt that was asked for executes already
    assignAhead @53 :AssignAhead;    # an Assign with inputs that are awaited
    workerGone @54 :UInt32;          # scheduler -> worker, client
    queryNextUse @55 :List(ResultId);
    nextUse @56 :List(NextUse);
    inventory @59 :Inventory;
    inventoryTaken @60 :InventoryTaken;
  }
}

# ---- shared parts

struct ResultId {
  task @0 :UInt64;
  output @1 :UInt16;
}

struct Holder {
  task @0 :UInt64;
  worker @1 :UInt32;
  output @2 :UInt16;
}

struct AssignAhead {
  attempt @0 :UInt64;
  task @1 :UInt64;
  priority @2 :Int64;
  holders @3 :List(Holder);
  awaited @4 :List(Awaited);
  kib @5 :UInt32;

  struct Awaited {
    task @0 :UInt64;
    attempt @1 :UInt64;   # that makes it, on that worker
    worker @2 :UInt32;
    output @3 :UInt16;
  }
}

struct Resource {
  name @0 :Text;
  amount @1 :Float64;  # positive
}

struct ErrorInfo {
  code @0 :UInt8;      # ErrorCode of tegula/error.h
  message @1 :Text;
  key @2 :Text;
  kernel @3 :Text;
  worker @4 :Text;
  chain @5 :List(Text);
}

# ---- layers. Lists per task or per piece are flat arrays of numbers, so that a million entries are one copy.

struct Layer {
  name @0 :Text;
  kernel @1 :Text;
  params @2 :Data;
  grid @3 :List(Int64);
  outputs @4 :List(OutputSpec);
  inputs @5 :List(InputRule);
  pure @6 :Bool;
  nonce @7 :UInt64;
  taskParamEnds @8 :List(UInt32);  # explicit layers: task i's parameters end here in taskParamBytes and begin where task i-1's end
  taskParamBytes @9 :Data;
}

struct OutputSpec {
  chunks @0 :List(DimChunks);
  dtype @1 :UInt8;
}

struct DimChunks {
  extent @0 :Int64;
  chunk @1 :Int64;
  sizes @2 :List(Int64);  # explicit sizes (-1: unknown); empty: regular cuts of `chunk`
}

struct InputRule {
  layer @0 :UInt32;
  output @1 :UInt16;
  grid @2 :List(Int64);
  union {
    separable @3 :List(DimRule);
    explicit @4 :ExplicitInput;
  }
}

struct DimRule {
  union {
    constantBlock @0 :Int64;
    sameBlock @1 :UInt8;       # the task axis
    fanIn :group {
      axis @2 :UInt8;
      factor @3 :Int64;
    }
    allBlocks @4 :Void;
    pieces @5 :Pieces;
  }
}

struct Pieces {
  axis @0 :UInt8;
  begin @1 :List(UInt32);
  block @2 :List(Int64);
  box @3 :List(Int64);         # start, count, step of each piece in turn
}

struct ExplicitInput {
  begin @0 :List(UInt32);
  index @1 :List(UInt32);
}

# ---- worker -> scheduler

struct RegisterWorker {
  name @0 :Text;
  address @1 :Text;
  host @2 :Text;
  pid @3 :UInt64;
  threads @4 :UInt32;
  memoryLimit @5 :UInt64;
  kernelLevel @6 :Text;
  kernels @7 :List(Text);
  slotsGranted @8 :UInt64;
  resources @9 :List(Resource);
  nanny @10 :UInt64;       # 0: none
  life @11 :UInt32;
  lifetimeMs @12 :UInt64;  # 0: not known
  instance @13 :UInt64;
  inventoryParts @14 :UInt32;
  kibGranted @15 :UInt64;
}

struct WorkerDied {
  name @0 :Text;
  nanny @1 :UInt64;
  life @2 :UInt32;
  cause @3 :UInt8;             # DeathCause of comm/messages.h
  detail @4 :Text;
  executing @5 :List(UInt64);  # attempts
}

struct Inventory {
  part @0 :UInt32;
  results @1 :List(Held);
}

# A result by what it is, whatever numbers a life of the scheduler gave it.
struct Held {
  layerHigh @0 :UInt64;
  layerLow @1 :UInt64;
  nbytes @2 :UInt64;
  index @3 :UInt32;
  output @4 :UInt16;
}

struct TaskFailed {
  attempt @0 :UInt64;
  task @1 :UInt64;
  error @2 :ErrorInfo;
}

struct TaskReturned {
  attempt @0 :UInt64;
  task @1 :UInt64;
  missing @2 :List(Missing);

  struct Missing {
    task @0 :UInt64;
    holder @1 :UInt32;
    output @2 :UInt16;
    unreachable @3 :Bool;
  }
}

struct WorkerHeartbeat {
  attemptsHash @0 :UInt64;
  sent @1 :UInt64;
  received @2 :UInt64;
  managedBytes @3 :UInt64;
  reservedBytes @4 :UInt64;
  rssBytes @5 :UInt64;
  bytesIn @6 :UInt64;
  bytesOut @7 :UInt64;
  tasksDone @8 :UInt64;
  executing @9 :UInt32;
  ready @10 :UInt32;
  waiting @11 :UInt32;
  running @12 :List(UInt64);  # attempts that a thread executes
  spilledBytes @13 :UInt64;
  keptBytes @14 :UInt64;
  diskWritten @15 :UInt64;
  diskRead @16 :UInt64;
  diskFull @17 :Bool;
  transfers @18 :List(Transfers);  # since the last heartbeat
}

# Requests for less than 64 KiB, whose time is latency, and the others; how many, and times and bytes of the fastest.
struct Transfers {
  from @0 :UInt32;
  small @1 :UInt64;
  smallNs @2 :UInt64;
  large @3 :UInt64;
  largeNs @4 :UInt64;
  bytes @5 :UInt64;
}

struct NextUse {
  task @0 :UInt64;
  rank @1 :Int64;  # smaller first; the greatest number: never
  output @2 :UInt16;
}

# ---- scheduler -> worker

struct WorkerRegistered {
  worker @0 :UInt32;
  heartbeatIntervalMs @1 :UInt64;
}

struct InventoryTaken {
  part @0 :UInt32;
  layers @1 :List(UInt32);  # per result; 0: not kept
}

struct DefineLayer {
  layer @0 :UInt32;
  hashHigh @1 :UInt64;  # the layer's identity outside this incarnation: 128 bits, as the scheduler computed it
  hashLow @2 :UInt64;
  description @3 :Layer;
  timeLimitMs @4 :UInt64;  # of each task; 0: the worker's own
  memory @5 :UInt64;       # bytes that are reserved for each task at least
}

struct WorkerAddress {
  worker @0 :UInt32;
  address @1 :Text;
}

struct Retract {
  attempt @0 :UInt64;
  task @1 :UInt64;
  keep @2 :Bool;  # only if it has not started: otherwise it goes on
}

# ---- client -> scheduler

struct AttachClient {
  session @0 :UInt64;
  secret @1 :UInt64;
  name @2 :Text;
  share @3 :Float64 = 1;
}

struct WantRange {
  layer @0 :UInt32;
  begin @1 :UInt32;
  end @2 :UInt32;
  output @3 :UInt16;
}

struct Submit {
  sequence @0 :UInt64;
  firstLayer @1 :UInt32;
  layers @2 :List(Layer);
  wants @3 :List(WantRange);
  options @4 :SubmitOptions;
}

struct SubmitOptions {
  priority @0 :Int32;
  retries @1 :UInt16;
  retryDelayMs @2 :UInt32;
  workers @3 :List(Text);       # names, addresses or hosts
  allowOtherWorkers @4 :Bool;
  resources @5 :List(Resource);
  timeLimitMs @6 :UInt64;       # of each task; 0: the worker's own
}

struct Wants {
  sequence @0 :UInt64;
  wants @1 :List(WantRange);
}

struct ForgetLayers {
  sequence @0 :UInt64;
  layers @1 :List(UInt32);
}

struct Query {
  request @0 :UInt64;
  kind @1 :UInt8;      # QueryKind of comm/messages.h
  subject @2 :Text;
  offset @3 :UInt64;
}

struct Command {
  request @0 :UInt64;
  kind @1 :UInt8;      # CommandKind of comm/messages.h
  subject @2 :Text;
  count @3 :UInt64;
  ranges @4 :List(WantRange);
}

# ---- scheduler -> client

struct ClientAttached {
  session @0 :UInt64;
  secret @1 :UInt64;
  lastSequence @2 :UInt64;
}

struct SubmitRefused {
  sequence @0 :UInt64;
  error @1 :ErrorInfo;
}

struct ResultErred {
  layer @0 :UInt32;
  index @1 :UInt32;
  output @2 :UInt16;
  error @3 :ErrorInfo;
}

struct ResultLost {
  layer @0 :UInt32;
  index @1 :UInt32;
  output @2 :UInt16;
}

struct Progress {
  total @0 :UInt64;
  done @1 :UInt64;
  executing @2 :UInt64;
  workers @3 :UInt32;
  threads @4 :UInt32;
}

struct StatusReply {
  request @0 :UInt64;
  workers @1 :List(Worker);
  released @2 :UInt64;
  waiting @3 :UInt64;
  noWorker @4 :UInt64;
  queued @5 :UInt64;
  processing @6 :UInt64;
  memory @7 :UInt64;
  erred @8 :UInt64;

  struct Worker {
    worker @0 :UInt32;
    threads @1 :UInt32;
    name @2 :Text;
    address @3 :Text;
    host @4 :Text;
    kernelLevel @5 :Text;
    pid @6 :UInt64;
    memoryLimit @7 :UInt64;
    managedBytes @8 :UInt64;
    rssBytes @9 :UInt64;
    tasksDone @10 :UInt64;
    processing @11 :UInt32;
    reservedBytes @12 :UInt64;
    spilledBytes @13 :UInt64;
    keptBytes @14 :UInt64;
  }
}

struct QueryReply {
  request @0 :UInt64;
  failed @1 :Bool;
  error @2 :ErrorInfo;
  text @3 :Text;
  remaining @4 :UInt64;
}

# ---- data

struct Fetch {
  request @0 :UInt64;
  items @1 :List(Item);
  attempt @2 :UInt64;   # 0: answered at once; else when this attempt of the worker that is asked has ended
  atMost @3 :UInt64;    # bytes of an item that may come; 0: any number

  struct Item {
    task @0 :UInt64;
    output @1 :UInt16;
    box @2 :List(Int64);  # start, count, step of each dimension in turn; empty: the whole chunk
  }
}

struct FetchReply {
  request @0 :UInt64;
  items @1 :List(Item);

  # A chunk's bytes, in C order, are the next bulk buffer of the frame.
  struct Item {
    status @0 :UInt8;     # FetchStatus of comm/messages.h; only ok (0) has a chunk
    dtype @1 :UInt8;
    shape @2 :List(Int64);
  }
}
