#include "bench/transfer_source.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>

#include "bench/sockets.h"
#include "comm/event_loop.h"
#include "src/buffer.h"
#include "src/chunk.h"
#include "tegula/error.h"
#include "worker/data_server.h"

namespace tegula::bench {
namespace {

std::size_t place_of(unsigned log2, std::uint32_t index) {
  const std::size_t size = std::size_t{1} << log2;
  return index % (kSourceBytes / size) * size;
}

Buffer make_region() {
  Buffer region = Buffer::allocate(kSourceBytes);
  constexpr std::size_t kSmallest = std::size_t{1} << kSmallestChunk;
  std::memset(region.mutable_data(), 1, kSourceBytes);
  for (std::uint64_t place = 0; place < kSourceBytes; place += kSmallest) {
    std::memcpy(region.mutable_data() + place, &place, sizeof(place));
  }
  return region;
}

class Chunks {
 public:
  explicit Chunks(Buffer region) : region_(std::move(region)) {}
  const Chunk* find(const ResultId& result) {
    const auto [found, is_new] = made_.try_emplace(result);
    const auto log2 = static_cast<unsigned>(layer_of(result.task));
    if (log2 < kSmallestChunk || log2 > kLargestChunk) return nullptr;
    if (is_new) {
      const std::int64_t size = std::int64_t{1} << log2;
      found->second = Chunk(DType::kUInt8, {size}, {1}, region_, place_of(log2, index_of(result.task)));
    }
    return &found->second;
  }

 private:
  Buffer region_;
  std::unordered_map<ResultId, Chunk> made_;
};

void serve_bare(const Socket& listener, const Buffer& region) {
  while (true) {
    const int accepted = accept(listener.fd(), nullptr, nullptr);
    if (accepted < 0) return;  // the program ends
    const Socket peer(accepted);
    peer.send_at_once();
    BareRequest request;
    while (peer.receive(&request, sizeof(request))) {
      const std::size_t size = std::size_t{1} << request.log2;
      for (std::uint32_t i = 0; i < request.count; ++i) {
        if (!peer.send(region.data() + place_of(request.log2, i), size)) break;
      }
    }
  }
}

}  // namespace

ResultId source_result(unsigned log2, std::uint32_t index) {
  return {make_task_id(static_cast<LayerId>(log2), index), 0};
}

std::uint64_t first_word(unsigned log2, std::uint32_t index) { return place_of(log2, index); }

void serve_transfers() {
  const Buffer region = make_region();
  Chunks chunks(region);
  EventLoop loop;
  std::optional<worker::DataServer> server;
  loop.start("transfer-source");
  loop.run_and_wait([&] {
    worker::DataServer::Source source;
    source.lookup = [&](const ResultId& result) {
      worker::DataServer::Found found;
      if (const Chunk* chunk = chunks.find(result)) found.chunk = *chunk;
      return found;
    };
    source.lend = [](const Chunk& chunk) { return chunk; };  // they stay for as long as the process
    source.await = [](AttemptId) {};
    server.emplace(loop, std::make_shared<BufferPool>(0), worker::DataServer::Limits{}, std::move(source));
    CommOptions options;
    options.role = Role::kWorker;
    options.name = "transfer-source";
    server->listen("tcp://127.0.0.1:0", {}, options);
  });
  const Socket listener = listen_on_loopback();
  std::thread bare([&] { serve_bare(listener, region); });
  std::cout << server->address() << " " << port_of(listener) << std::endl;
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  shutdown(listener.fd(), SHUT_RDWR);
  loop.run_and_wait([&] { server.reset(); });
  bare.join();
}

TransferSource::TransferSource() {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
    throw ConnectionError(std::string("a pipe: ") + std::strerror(errno));
  }
  input_ = to[1];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  char program[] = "tegula-bench", command[] = "transfer", serve[] = "--serve";
  char* arguments[] = {program, command, serve, nullptr};
  const int error = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  const std::unique_ptr<FILE, int (*)(FILE*)> output(fdopen(from[0], "r"), &fclose);
  if (error != 0) {
    pid_ = -1;
    close(input_);
    throw ConnectionError(std::string("cannot start another tegula-bench: ") + std::strerror(error));
  }
  char address[256];
  unsigned port = 0;
  if (std::fscanf(output.get(), "%255s %u", address, &port) == 2) {
    address_ = address;
    bare_port_ = static_cast<std::uint16_t>(port);
  }
}

TransferSource::~TransferSource() {
  close(input_);
  while (pid_ > 0 && waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace tegula::bench
