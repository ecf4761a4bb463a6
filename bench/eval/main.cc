// tegula-eval: runs array programs written as JSON, embedded or on a cluster. The format is in docs/eval.md. Exit
// status: 0; 1 when a program failed; 2 for a command line that makes no sense.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/eval/operations.h"
#include "bench/eval/program.h"

namespace tegula::eval {
namespace {

std::string read_all(const std::string& path) {
  std::ostringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(path);
    if (!file) throw FileError("cannot read " + path);
    text << file.rdbuf();
  }
  return text.str();
}

Json run_one(const Json& program, const Client& client) {
  try {
    return run_program(program, client);
  } catch (const Json::exception& error) {  // a part of the program is of another kind than the format says
    throw ValueError(error.what());
  }
}

// One line of JSON per program on standard output: what was written, or the error.
bool run_all(const Json& programs, const Client& client, bool json_errors) {
  bool ok = true;
  for (const Json& program : programs) {
    try {
      std::cout << run_one(program, client).dump() << std::endl;
    } catch (const Error& error) {
      ok = false;
      const Json description = describe(error);
      if (json_errors) {
        std::cout << description.dump() << std::endl;
      } else {
        std::cerr << "tegula-eval: " << description["error"].get<std::string>() << ": " << error.what() << "\n";
      }
    }
  }
  return ok;
}

int run(int argc, char** argv) {
  std::string path = "-", scheduler;
  unsigned threads = 0;
  bool json_errors = false, list = false;
  CLI::App app("Runs array programs written as JSON: one object, or a list of them.", "tegula-eval");
  app.add_option("program", path, "file with the program, - for standard input");
  app.add_option("--scheduler", scheduler, "address or scheduler file; without one everything runs in this process");
  app.add_option("--threads", threads, "threads, when it runs in this process");
  app.add_flag("--json-errors", json_errors,
               "errors as {\"error\", \"message\"} on standard output, in the program's place");
  app.add_flag("--list", list, "print the names of the operations and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "tegula-eval: " << error.what() << "\n";
    return 2;
  }
  if (list) {
    for (const std::string& name : operation_names()) std::cout << name << "\n";
    return 0;
  }
  try {
    const Json input = Json::parse(read_all(path));
    ClientOptions options;
    options.name = "tegula-eval";
    options.threads = threads;
    const Client client = scheduler.empty() ? Client(options) : Client(scheduler, options);
    return run_all(input.is_array() ? input : Json::array({input}), client, json_errors) ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "tegula-eval: " << error.what() << "\n";
    return 1;
  }
}

}  // namespace
}  // namespace tegula::eval

int main(int argc, char** argv) { return tegula::eval::run(argc, argv); }
