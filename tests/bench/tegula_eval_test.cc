// tegula-eval: the JSON format, its numbers and its errors. What the operations compute is compared with NumPy in
// tests/differential.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tegula/host_array.h"
#include "tests/support/child_process.h"

namespace tegula {
namespace {

using nlohmann::json;
using test::ChildProcess;
using test::program_path;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TegulaEval : public ::testing::Test {
 protected:
  struct Ended {
    int status = -1;
    std::string output;  // standard output and standard error
    std::vector<json> lines() const {
      std::vector<json> result;
      std::istringstream in(output);
      for (std::string line; std::getline(in, line);) result.push_back(json::parse(line));
      return result;
    }
  };

  Ended run_text(const std::string& text, std::vector<std::string> more = {}) {
    std::ofstream(folder_.file("program.json")) << text;
    more.insert(more.begin(), {program_path("tegula-eval"), folder_.file("program.json"), "--threads", "1"});
    ChildProcess process(more);
    const auto status = process.wait();
    return {status.value_or(-1), process.output()};
  }
  Ended run(const json& program, std::vector<std::string> more = {}) { return run_text(program.dump(), more); }

  // The value of one call, read back from its file.
  HostArray value_of(const std::string& op, const json& args, const json& kwargs = json::object()) {
    const std::string path = folder_.file("out.npy");
    const Ended ended =
        run({{"steps", {{{"out", "x"}, {"op", op}, {"args", args}, {"kwargs", kwargs}}}}, {"outputs", {{"x", path}}}});
    EXPECT_EQ(ended.status, 0) << ended.output;
    return HostArray::load_npy(path);
  }

  void expect_error(const json& step, const std::string& text) {
    const Ended ended = run({{"steps", {{{"out", "a"}, {"op", "zeros"}, {"args", {{2, 3}}}}, step}},
                             {"outputs", {{"x", folder_.file("none.npy")}}}});
    EXPECT_EQ(ended.status, 1) << ended.output;
    EXPECT_EQ(std::count(ended.output.begin(), ended.output.end(), '\n'), 1) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("tegula-eval: "));
    EXPECT_THAT(ended.output, HasSubstr(text));
  }

  test::TemporaryDirectory folder_;
};

TEST_F(TegulaEval, InputsStepsAndOutputs) {
  HostArray input(DType::kInt32, {2, 3});
  std::int32_t next = 0;
  for (std::int32_t& value : input.span<std::int32_t>()) value = next++;
  input.save_npy(folder_.file("in.npy"));
  const json program = {
      {"inputs", {{"a", {{"npy", folder_.file("in.npy")}, {"chunks", {1, {2, 1}}}}}}},
      {"steps",
       {{{"out", "b"}, {"op", "add"}, {"args", {"a", 1}}},
        {{"out", "c"}, {"op", "getitem"}, {"args", {"b", {{"slice", {nullptr, nullptr, -1}}}, 1}}},
        {{"out", "d"}, {"op", "sum"}, {"args", {"b"}}, {"kwargs", {{"axis", 0}, {"keepdims", true}}}}}},
      {"outputs", {{"c", folder_.file("c.npy")}, {"d", folder_.file("d.npy")}}},
  };
  const Ended ended = run(program);
  ASSERT_EQ(ended.status, 0) << ended.output;
  const json written = ended.lines().at(0).at("outputs");
  EXPECT_EQ(written.at("c").at("dtype"), "int32");
  EXPECT_EQ(written.at("d").at("shape"), (json{1, 3}));
  EXPECT_THAT(HostArray::load_npy(folder_.file("c.npy")).span<std::int32_t>(), ElementsAre(5, 2));
  EXPECT_THAT(HostArray::load_npy(folder_.file("d.npy")).span<std::int64_t>(), ElementsAre(5, 7, 9));
}

TEST_F(TegulaEval, NumbersThatJsonCannotSay) {
  const auto full = [this](const json& value, const char* dtype) {
    return value_of("full", {json::array({1}), value}, {{"dtype", dtype}});
  };
  EXPECT_TRUE(std::isnan(full({{"float", "nan"}}, "float64").item<double>()));
  EXPECT_EQ(full({{"float", "-inf"}}, "float32").item<float>(), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(full({{"float", "0x1.8p3"}}, "float64").item<double>(), 12.0);
  EXPECT_EQ(full({{"int", "18446744073709551615"}}, "uint64").item<std::uint64_t>(), UINT64_MAX);
  EXPECT_EQ(full({{"int", "-9223372036854775808"}}, "int64").item<std::int64_t>(), INT64_MIN);
  const auto complex = full({{"complex", {"inf", -2}}}, "complex128").item<std::complex<double>>();
  EXPECT_EQ(complex.real(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(complex.imag(), -2);
}

TEST_F(TegulaEval, StrongAndWeakScalars) {
  const auto add_to_int8 = [this](const json& scalar) {
    const std::string path = folder_.file("out.npy");
    const Ended ended = run({{"steps",
                              {{{"out", "a"}, {"op", "ones"}, {"args", {{2}}}, {"kwargs", {{"dtype", "int8"}}}},
                               {{"out", "b"}, {"op", "add"}, {"args", {"a", scalar}}}}},
                             {"outputs", {{"b", path}}}});
    EXPECT_EQ(ended.status, 0) << ended.output;
    return HostArray::load_npy(path).dtype();
  };
  EXPECT_EQ(add_to_int8(1), DType::kInt8);
  EXPECT_EQ(add_to_int8({{"scalar", 1}, {"dtype", "int32"}}), DType::kInt32);
  EXPECT_EQ(add_to_int8(1.5), DType::kFloat64);
}

TEST_F(TegulaEval, ErrorsAreOneLine) {
  expect_error({{"out", "x"}, {"op", "add"}, {"args", {"a", "b"}}}, "no array is named \"b\"");
  expect_error({{"out", "x"}, {"op", "ad"}, {"args", {"a", 1}}}, "did you mean add?");
  expect_error({{"out", "x"}, {"op", "sum"}, {"args", {"a"}}, {"kwargs", {{"axes", 0}}}}, "unknown keyword axes");
  expect_error({{"out", "x"}, {"op", "sqrt"}, {"args", {"a", 1}}}, "takes 1 arguments, not 2");
  expect_error({{"out", "x"}, {"op", "sqrt"}}, "x is missing");
  expect_error({{"out", "x"}, {"op", "sum"}, {"args", {"a"}}, {"kwargs", {{"axis", 5}}}}, "axis 5 is out of range");
  expect_error({{"out", "x"}, {"op", "from_npy"}, {"args", {"/no/such.npy"}}}, "/no/such.npy");
  expect_error({{"out", "y"}, {"op", "sqrt"}, {"args", {"a"}}}, "no array is named \"x\"");
  expect_error({{"op", "sqrt"}, {"args", {"a"}}}, "\"out\" is missing");
  expect_error("nonsense", "nonsense");
  for (const char* text : {"", "{", "3", "[1]", R"({"steps": 5})", R"({"outputs": [1]})", R"({"optimize": 3})"}) {
    const Ended ended = run_text(text);
    EXPECT_EQ(ended.status, 1) << text << ended.output;
    EXPECT_EQ(std::count(ended.output.begin(), ended.output.end(), '\n'), 1) << text << ended.output;
  }
  EXPECT_EQ(run(json::object(), {"--no-such-flag"}).status, 2);
}

TEST_F(TegulaEval, InputsDoNotSeeOneAnother) {
  const json zeros = {{"op", "zeros"}, {"args", {{2}}}};
  const Ended ended = run({{"inputs", {{"a", zeros}, {"b", {{"op", "sqrt"}, {"args", {"a"}}}}}}});
  EXPECT_EQ(ended.status, 1);
  EXPECT_THAT(ended.output, HasSubstr("no array is named \"a\""));
}

TEST_F(TegulaEval, JsonErrorsTakeTheirProgramsPlace) {
  const json good = {{"steps", {{{"out", "x"}, {"op", "zeros"}, {"args", {{2}}}}}},
                     {"outputs", {{"x", folder_.file("x.npy")}}}};
  const json wrong_shape = {{"steps",
                             {{{"out", "x"}, {"op", "zeros"}, {"args", {{3, 4}}}},
                              {{"out", "y"}, {"op", "zeros"}, {"args", {{5}}}},
                              {{"out", "z"}, {"op", "add"}, {"args", {"x", "y"}}}}}};
  const Ended ended = run({good, wrong_shape, {{"steps", 5}}, good}, {"--json-errors"});
  EXPECT_EQ(ended.status, 1);
  const std::vector<json> lines = ended.lines();
  ASSERT_EQ(lines.size(), 4u) << ended.output;
  EXPECT_TRUE(lines[0].contains("outputs"));
  EXPECT_EQ(lines[1].at("error"), "ShapeError");
  EXPECT_THAT(lines[1].at("message").get<std::string>(), HasSubstr("cannot broadcast (3, 4) with (5,)"));
  EXPECT_EQ(lines[2].at("error"), "ValueError");
  EXPECT_TRUE(lines[3].contains("outputs"));
}

TEST_F(TegulaEval, ListsItsOperations) {
  const Ended ended = run(json::object(), {"--list"});
  EXPECT_EQ(ended.status, 0);
  for (const char* name : {"add\n", "getitem\n", "random.normal\n", "arctan2\n", "std\n"}) {
    EXPECT_THAT(ended.output, HasSubstr(name));
  }
}

}  // namespace
}  // namespace tegula
