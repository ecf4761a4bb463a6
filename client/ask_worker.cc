#include "client/ask_worker.h"

#include <future>
#include <memory>
#include <utility>

#include "tegula/error.h"

namespace tegula::client {
namespace {

// On the loop but for the future.
struct Question {
  std::promise<std::string> answer;
  bool over = false;
  ConnectionPtr connection;

  void end(std::string text) {
    if (!std::exchange(over, true)) answer.set_value(std::move(text));
  }
  void fail(const ErrorInfo& error) {
    if (std::exchange(over, true)) return;
    try {
      throw_error(error);
    } catch (...) {
      answer.set_exception(std::current_exception());
    }
  }
  void fail(ErrorCode code, std::string message) {
    ErrorInfo error;
    error.code = code;
    error.message = std::move(message);
    fail(error);
  }
};

void take(Question& question, const std::string& address, std::vector<msg::Message>& messages) {
  for (msg::Message& message : messages) {
    auto* reply = std::get_if<msg::QueryReply>(&message);
    if (reply == nullptr) {
      question.fail(ErrorCode::kProtocol, address + " answered with something else than what it was asked for");
    } else if (reply->failed) {
      question.fail(reply->error);
    } else {
      question.end(std::move(reply->text));
    }
  }
}

void put(EventLoop& loop, const CommOptions& options, const std::string& address,
         const std::shared_ptr<Question>& question) {
  connect(loop, address, options, [question, address](ConnectionPtr made, std::optional<ErrorInfo> error) {
    if (error) return question->fail(*error);
    made->on_messages = [question, address](std::vector<msg::Message> messages) { take(*question, address, messages); };
    made->on_closed = [question, address](const std::string& reason) {
      question->fail(ErrorCode::kConnection, address + ": " + reason);
    };
    made->send(msg::Query{1, msg::QueryKind::kWorker, "", 0});
    question->connection = std::move(made);
  });
}

}  // namespace

std::string ask_worker(EventLoop& loop, const CommOptions& options, const std::string& address,
                       std::chrono::nanoseconds timeout) {
  const auto question = std::make_shared<Question>();
  std::future<std::string> answer = question->answer.get_future();
  put(loop, options, address, question);
  const bool in_time = answer.wait_for(timeout) == std::future_status::ready;
  loop.post([question] {
    question->over = true;
    question->connection.reset();
  });
  if (!in_time) throw TimeoutError("the worker at " + address + " does not answer");
  return answer.get();
}

}  // namespace tegula::client
