// Every field of every message, by structured binding: a message that gains a field does not compile here until it is
// listed, and so is tested by everything built on this (random contents, text for comparison).
#pragma once

#include <tuple>

#include "comm/messages.h"
#include "src/graph.h"

namespace tegula::test {

// Call with the type and as many names as it has fields.
#define TEGULA_TEST_FIELDS(Type, ...)     \
  inline auto fields(Type& value) {       \
    auto& [__VA_ARGS__] = value;          \
    return std::tie(__VA_ARGS__);         \
  }                                       \
  inline auto fields(const Type& value) { \
    const auto& [__VA_ARGS__] = value;    \
    return std::tie(__VA_ARGS__);         \
  }

TEGULA_TEST_FIELDS(ResultId, a, b)
TEGULA_TEST_FIELDS(LayerHash, a, b)
TEGULA_TEST_FIELDS(ErrorInfo, a, b, c, d, e, f)
TEGULA_TEST_FIELDS(BoxDim, a, b, c)
TEGULA_TEST_FIELDS(ConstantBlock, a)
TEGULA_TEST_FIELDS(SameBlock, a)
TEGULA_TEST_FIELDS(FanIn, a, b)
TEGULA_TEST_FIELDS(Pieces, a, b, c, d)
TEGULA_TEST_FIELDS(SeparableInput, a)
TEGULA_TEST_FIELDS(ExplicitInput, a, b)
TEGULA_TEST_FIELDS(InputRule, a, b, c, d)
TEGULA_TEST_FIELDS(OutputSpec, a, b)
TEGULA_TEST_FIELDS(Layer, a, b, c, d, e, f, g, h, i)

TEGULA_TEST_FIELDS(msg::Resource, a, b)
TEGULA_TEST_FIELDS(msg::RegisterWorker, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
TEGULA_TEST_FIELDS(msg::Inventory, a, b)
TEGULA_TEST_FIELDS(msg::Inventory::Held, a, b, c, d)
TEGULA_TEST_FIELDS(msg::InventoryTaken, a, b)
TEGULA_TEST_FIELDS(msg::TaskFinished, a, b, c, d)
TEGULA_TEST_FIELDS(msg::TaskFailed, a, b, c)
TEGULA_TEST_FIELDS(msg::TaskReturned, a, b, c)
TEGULA_TEST_FIELDS(msg::TaskReturned::Missing, a, b, c)
TEGULA_TEST_FIELDS(msg::TaskRunning, a, b)
TEGULA_TEST_FIELDS(msg::ReplicasAdded, a)
TEGULA_TEST_FIELDS(msg::ReplicasDropped, a)
TEGULA_TEST_FIELDS(msg::GrantCredit, a, b)
TEGULA_TEST_FIELDS(msg::Transfers, a, b, c, d, e, f)
TEGULA_TEST_FIELDS(msg::WorkerHeartbeat, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s)
TEGULA_TEST_FIELDS(msg::WorkerLeaving, a)
TEGULA_TEST_FIELDS(msg::WorkerDraining, a)
TEGULA_TEST_FIELDS(msg::WorkerDied, a, b, c, d, e, f)
TEGULA_TEST_FIELDS(msg::WorkerRegistered, a, b)
TEGULA_TEST_FIELDS(msg::WorkerRefused, a)
TEGULA_TEST_FIELDS(msg::DefineLayer, a, b, c, d, e)
TEGULA_TEST_FIELDS(msg::ForgetLayer, a)
TEGULA_TEST_FIELDS(msg::WorkerAddress, a, b)
TEGULA_TEST_FIELDS(msg::WorkerGone, a)
TEGULA_TEST_FIELDS(msg::Assign, a, b, c, d, e, f)
TEGULA_TEST_FIELDS(msg::Assign::Holder, a, b)
TEGULA_TEST_FIELDS(msg::Assign::Awaited, a, b, c)
TEGULA_TEST_FIELDS(msg::Retract, a, b, c)
TEGULA_TEST_FIELDS(msg::FreeResults, a)
TEGULA_TEST_FIELDS(msg::Shutdown, a)
TEGULA_TEST_FIELDS(msg::AttachClient, a, b, c, d)
TEGULA_TEST_FIELDS(msg::WantRange, a, b, c, d)
TEGULA_TEST_FIELDS(msg::SubmitOptions, a, b, c, d, e, f, g)
TEGULA_TEST_FIELDS(msg::Submit, a, b, c, d, e)
TEGULA_TEST_FIELDS(msg::ReleaseWants, a, b)
TEGULA_TEST_FIELDS(msg::ForgetLayers, a, b)
TEGULA_TEST_FIELDS(msg::CancelWants, a, b)
inline std::tuple<> fields(const msg::CloseClient&) { return {}; }
TEGULA_TEST_FIELDS(msg::QueryStatus, a)
TEGULA_TEST_FIELDS(msg::SubscribeProgress, a)
TEGULA_TEST_FIELDS(msg::ClientAttached, a, b, c)
TEGULA_TEST_FIELDS(msg::SubmitAccepted, a)
TEGULA_TEST_FIELDS(msg::SubmitRefused, a, b)
TEGULA_TEST_FIELDS(msg::ResultReady, a, b, c, d, e, f)
TEGULA_TEST_FIELDS(msg::ResultErred, a, b, c, d)
TEGULA_TEST_FIELDS(msg::ResultLost, a, b, c)
TEGULA_TEST_FIELDS(msg::Progress, a, b, c, d, e)
TEGULA_TEST_FIELDS(msg::StatusReply, a, b, c, d, e, f, g, h, i)
TEGULA_TEST_FIELDS(msg::StatusReply::Worker, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
TEGULA_TEST_FIELDS(msg::Fetch, a, b, c, d)
TEGULA_TEST_FIELDS(msg::Fetch::Item, a, b)
TEGULA_TEST_FIELDS(msg::FetchReply, a, b)
TEGULA_TEST_FIELDS(msg::FetchReply::Item, a, b)
TEGULA_TEST_FIELDS(msg::AcquireReplicas, a)
TEGULA_TEST_FIELDS(msg::Query, a, b, c, d)
TEGULA_TEST_FIELDS(msg::Command, a, b, c, d, e)
TEGULA_TEST_FIELDS(msg::QueryReply, a, b, c, d, e)
TEGULA_TEST_FIELDS(msg::QueryNextUse, a)
TEGULA_TEST_FIELDS(msg::NextUse, a)
TEGULA_TEST_FIELDS(msg::NextUse::Item, a, b)
#undef TEGULA_TEST_FIELDS

}  // namespace tegula::test
