// Single runs through worlds that are too large to visit every state of.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "tests/model/explorer.h"
#include "tests/support/decisions.h"

namespace tegula::model {

// A graph of up to 8 tasks, one to three workers, and some of all that may happen.
Scenario random_scenario(Decisions& decisions);

// One run, scenario and choices, as these bytes say. What went wrong, in words.
std::optional<std::string> walk_by(std::span<const std::uint8_t> bytes);

}  // namespace tegula::model
