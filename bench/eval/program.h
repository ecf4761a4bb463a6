// Runs one array program written as JSON (docs/eval.md).
#pragma once

#include <nlohmann/json.hpp>

#include "tegula/tegula.h"

namespace tegula::eval {

// Evaluates inputs and steps, computes the outputs together and writes them as .npy files. Returns what was written:
// {"outputs": {name: {"path", "dtype", "shape"}}}. Throws ValueError for a malformed program, and what the operations
// throw.
nlohmann::json run_program(const nlohmann::json& program, const Client& client);

// {"error": "ShapeError", "message": "..."}
nlohmann::json describe(const Error& error);

}  // namespace tegula::eval
