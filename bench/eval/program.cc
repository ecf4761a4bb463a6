#include "bench/eval/program.h"

#include <string>
#include <vector>

#include "bench/eval/operations.h"

namespace tegula::eval {
namespace {

const Json kEmptyList = Json::array();
const Json kEmptyObject = Json::object();

const Json& member(const Json& object, const char* name, const Json& otherwise) {
  const auto found = object.find(name);
  return found == object.end() ? otherwise : *found;
}

std::string text_member(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string())
    throw ValueError("\"" + std::string(name) + "\" is missing in " + object.dump());
  return found->get<std::string>();
}

Array call(const Json& step, const Variables& variables) {
  const std::string op = text_member(step, "op");
  Arguments arguments(op, member(step, "args", kEmptyList), member(step, "kwargs", kEmptyObject), variables);
  return apply(op, arguments);
}

Array read_input(const Json& input) {
  if (!input.is_object()) throw ValueError("an input is an object, not " + input.dump());
  if (!input.contains("npy")) return call(input, Variables());
  return from_npy(text_member(input, "npy"), input.contains("chunks") ? parse_chunks(input["chunks"]) : Chunks());
}

}  // namespace

Json run_program(const Json& program, const Client& client) {
  if (!program.is_object()) throw ValueError("a program is a JSON object, not " + std::string(program.type_name()));
  Variables variables;
  for (const auto& [name, input] : member(program, "inputs", kEmptyObject).items()) {
    variables.insert_or_assign(name, read_input(input));
  }
  for (const Json& step : member(program, "steps", kEmptyList)) {
    variables.insert_or_assign(text_member(step, "out"), call(step, variables));
  }

  std::vector<Array> wanted;
  const Json& outputs = member(program, "outputs", kEmptyObject);
  for (const auto& [name, path] : outputs.items()) {
    const auto found = variables.find(name);
    if (found == variables.end()) throw ValueError("outputs: no array is named \"" + name + "\"");
    if (!path.is_string()) throw ValueError("outputs: the path of " + name + " is a text, not " + path.dump());
    wanted.push_back(found->second);
  }

  ComputeOptions options;
  options.optimize = program.value("optimize", true);
  const std::vector<HostArray> results = compute(wanted, client, options);
  Json written = Json::object();
  std::size_t position = 0;
  for (const auto& [name, path] : outputs.items()) {
    const HostArray& result = results[position++];
    result.save_npy(path.get<std::string>());
    written[name] = {{"path", path}, {"dtype", name_of(result.dtype())}, {"shape", result.shape()}};
  }
  return Json{{"outputs", written}};
}

Json describe(const Error& error) {
  static constexpr const char* kNames[] = {
      "InternalError", "ValueError",      "ShapeError",       "IndexError",          "DTypeError",
      "ConfigError",   "ConnectionError", "VersionError",     "AuthenticationError", "ProtocolError",
      "TimeoutError",  "FileError",       "FileChangedError", "CancelledError",      "KernelNotFoundError",
      "TaskError",     "KilledWorker",    "TaskTooLarge",     "OutOfMemory",         "ClosedError",
      "DataLost"};
  const auto code = static_cast<std::size_t>(error.code());
  return Json{{"error", code < std::size(kNames) ? kNames[code] : "Error"}, {"message", error.what()}};
}

}  // namespace tegula::eval
