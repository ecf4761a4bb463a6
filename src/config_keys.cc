// Every configuration key, once. docs/configuration.md is this table; a test compares them.
#include "src/config.h"

namespace tegula {

const std::vector<ConfigKey>& config_keys() {
  using enum ConfigType;
  static const std::vector<ConfigKey> keys = {
      {"scheduler.host", kString, "127.0.0.1",
       "The address the scheduler listens on: a name or an IPv4 or IPv6 address. Beyond loopback a cluster token is "
       "needed."},
      {"scheduler.port", kInt, "8786", "The port the scheduler listens on; 0: any free one."},
      {"scheduler.interface", kString, "",
       "The network interface (eth0) whose address the scheduler listens on, instead of scheduler.host."},
      {"scheduler.listen-address", kString, "",
       "The whole address to listen on (tcp://0.0.0.0:8786), instead of host and port."},
      {"scheduler.contact-address", kString, "",
       "The address that workers and clients are told, where it differs from the one listened on."},
      {"scheduler.file", kString, "",
       "A file that gets the scheduler's address and token (mode 0600), for workers and clients to read."},
      {"scheduler.idle-timeout", kDuration, "0s", "The scheduler ends after this long without work; 0s: never."},
      {"scheduler.http-host", kString, "127.0.0.1", "The address of the HTTP port with /health and /metrics."},
      {"scheduler.http-port", kInt, "0", "The HTTP port; 0: any free one; -1: none."},
      {"scheduler.client-grace", kDuration, "5s",
       "How long a client whose connection was lost may come back before its work is released."},
      {"scheduler.worker-ttl", kDuration, "30s", "A worker that is silent for this long counts as lost."},
      {"scheduler.inventory-window", kDuration, "3s",
       "How long a scheduler that was started again waits for workers with their results and for clients before it "
       "computes anything; 0s: not at all."},
      {"scheduler.journal", kString, "",
       "A directory in which the scheduler keeps what its clients want, for one that is started again there; empty: "
       "none."},
      {"scheduler.record", kString, "",
       "A file that gets a record of all that happens to the scheduler's core, for tegula replay; empty: none."},
      {"scheduler.record-limit", kBytes, "1GiB", "The size at which such a record ends; 0: none."},
      {"scheduler.drop-surplus-replicas", kBool, "true",
       "Copies of results that nobody needs where they are are let go of; one stays, or as many as an operator asked "
       "for."},
      {"scheduler.stall-report", kDuration, "30s",
       "When there is work and nothing has finished for this long, the log says what is waited for; 0s: never."},

      {"worker.threads", kInt, "0", "Threads that run kernels; 0: one per core."},
      {"worker.memory-limit", kString, "auto",
       "Memory for chunks per worker: 512MiB, 4GB; auto: the machine's or control group's memory divided by the "
       "workers; none: no limit."},
      {"worker.resources", kString, "",
       "What a worker has of resources that tasks occupy, such as GPU=1,LICENSE=0.5; names and amounts mean what the "
       "tasks say."},
      {"worker.local-directory", kString, "",
       "Where a worker keeps its files; empty: a fresh directory in the system's temporary one, removed at the end."},
      {"worker.spill-directory", kString, "",
       "Where values go when memory is short, on a disk: a folder below which each worker makes its own; empty: below "
       "worker.local-directory, or the system's temporary directory."},
      {"worker.spill-limit", kBytes, "0B", "Bytes a worker may put there; 0: as many as there is room for."},
      {"worker.spill-compression", kString, "none", "How values are written there: none, lz4."},
      {"worker.death-timeout", kDuration, "60s", "A worker ends after this long without a scheduler; 0s: never."},
      {"worker.host", kString, "",
       "The address a worker listens on for other workers and clients; empty: the one by which it reaches the "
       "scheduler."},
      {"worker.port", kString, "0", "The port a worker listens on: a number, a range (9000:9100), or 0 for any."},
      {"worker.interface", kString, "", "The network interface whose address a worker listens on."},
      {"worker.contact-address", kString, "",
       "The address that others are told to reach this worker by, where it differs from the one listened on."},
      {"worker.name", kString, "", "A worker's name in logs and status; empty: host and process number."},
      {"worker.prefetch-slots", kInt, "0",
       "Tasks a worker takes beyond the ones it runs, so that the next one is there in time; 0: as many as it has "
       "threads, and at least two."},
      {"worker.heartbeat-interval", kDuration, "500ms", "How often a worker reports to the scheduler."},
      {"worker.nanny", kBool, "true",
       "tegula-worker runs its workers in processes of their own and looks after them; false: it is the worker."},
      {"worker.start-attempts", kInt, "5",
       "A nanny gives up after so many worker processes in a row that ended before they joined a scheduler; 0: never."},
      {"worker.hang-timeout", kDuration, "30s",
       "A nanny kills a worker whose event loop has not run for this long, and starts another; 0s: never."},
      {"worker.terminate-fraction", kFloat, "0.95",
       "A nanny kills a worker of which more than this part of the memory limit is resident when most of it is memory "
       "that kernels took by themselves; 0: never."},
      {"worker.cpus", kString, "",
       "The processors that workers run on, divided among the workers of a tegula-worker: 0-3,8; auto: all it may use; "
       "empty: not bound."},
      {"worker.environment", kString,
       "OMP_NUM_THREADS=1,OPENBLAS_NUM_THREADS=1,MKL_NUM_THREADS=1,MALLOC_TRIM_THRESHOLD_=65536",
       "Variables for worker processes, where they are not set already; --env NAME=VALUE sets others, and overrides."},
      {"worker.drain-timeout", kDuration, "60s",
       "How long a worker that is asked to end may finish what it runs and hand its results over."},
      {"worker.lifetime", kDuration, "0s", "A worker ends in order after this long; 0s: never."},
      {"worker.lifetime-stagger", kDuration, "0s", "By how much lifetimes differ, at random, up or down."},
      {"worker.lifetime-restart", kBool, "false", "A nanny starts another worker when the lifetime of one is over."},
      {"worker.time-limit", kDuration, "0s",
       "How long a task may take whose submission gives no time limit; 0s: for ever."},
      {"worker.time-limit-grace", kDuration, "10s",
       "How long a kernel may take to stop when its task's time is over, until its worker process is replaced."},
      {"worker.fetch-connections", kInt, "4", "Connections a worker opens to each other worker to fetch inputs."},
      {"worker.fetch-bytes-in-flight", kBytes, "64MiB", "Bytes of inputs a worker asks for at once."},
      {"worker.watch-turns", kBool, "false",
       "A worker notes what turns of its event loop take, beside a thread that only sleeps, and tegula worker --json "
       "tells; for measurements."},

      {"comm.connect-timeout", kDuration, "10s", "How long making a connection may take, handshake included."},
      {"comm.idle-timeout", kDuration, "60s", "A connection on which nothing arrives for this long is closed."},
      {"comm.write-timeout", kDuration, "60s", "A peer that does not read for this long is dropped."},
      {"comm.max-control-bytes", kBytes, "64MiB", "The largest control message accepted."},
      {"comm.max-bulk-bytes", kBytes, "16GiB", "The largest buffer accepted."},
      {"comm.insecure", kBool, "false", "Allow addresses beyond loopback without a cluster token."},

      {"client.name", kString, "", "A client's name in logs and status; empty: program and process number."},
      {"client.reattach-time", kDuration, "30s",
       "How long a client tries to reach a scheduler again whose connection was lost."},
      {"client.fetch-bytes-in-flight", kBytes, "64MiB", "Bytes of results a client asks for at once."},

      {"array.chunk-size", kBytes, "128MiB", "About how large the chunks are that \"auto\" makes."},

      {"kernels.path", kString, "",
       "Directories with kernel libraries, separated by colons; empty: lib/tegula/kernels beside libtegula."},
      {"kernels.level", kString, "auto",
       "The instruction set level of the CPU kernels: portable, v3, v4; auto: the best this machine runs."},

      {"logging.level", kString, "info",
       "What daemons log: trace, debug, info, warning, error or off. A program that links the library logs warnings."},
      {"logging.file", kString, "", "The file daemons log to; empty: standard error."},
  };
  return keys;
}

}  // namespace tegula
