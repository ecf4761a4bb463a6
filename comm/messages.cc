#include "comm/messages.h"

#include <array>

namespace tegula::msg {

Message::Message() = default;
Message::Message(const Message& other) = default;
Message::Message(Message&& other) noexcept = default;
Message& Message::operator=(const Message& other) = default;
Message& Message::operator=(Message&& other) noexcept = default;
Message::~Message() = default;

std::string_view name_of(const Message& message) {
  static constexpr std::array<std::string_view, std::variant_size_v<MessageAlternatives>> kNames = {"RegisterWorker",
                                                                                                    "TaskFinished",
                                                                                                    "TaskFailed",
                                                                                                    "TaskReturned",
                                                                                                    "TaskRunning",
                                                                                                    "ReplicasAdded",
                                                                                                    "ReplicasDropped",
                                                                                                    "GrantCredit",
                                                                                                    "WorkerHeartbeat",
                                                                                                    "WorkerLeaving",
                                                                                                    "WorkerDraining",
                                                                                                    "WorkerDied",
                                                                                                    "WorkerRegistered",
                                                                                                    "WorkerRefused",
                                                                                                    "DefineLayer",
                                                                                                    "ForgetLayer",
                                                                                                    "WorkerAddress",
                                                                                                    "Assign",
                                                                                                    "Retract",
                                                                                                    "FreeResults",
                                                                                                    "Shutdown",
                                                                                                    "AttachClient",
                                                                                                    "Submit",
                                                                                                    "ReleaseWants",
                                                                                                    "ForgetLayers",
                                                                                                    "CancelWants",
                                                                                                    "CloseClient",
                                                                                                    "QueryStatus",
                                                                                                    "SubscribeProgress",
                                                                                                    "ClientAttached",
                                                                                                    "SubmitAccepted",
                                                                                                    "SubmitRefused",
                                                                                                    "ResultReady",
                                                                                                    "ResultErred",
                                                                                                    "ResultLost",
                                                                                                    "Progress",
                                                                                                    "StatusReply",
                                                                                                    "Fetch",
                                                                                                    "FetchReply",
                                                                                                    "AcquireReplicas",
                                                                                                    "Query",
                                                                                                    "Command",
                                                                                                    "QueryReply",
                                                                                                    "WorkerGone",
                                                                                                    "QueryNextUse",
                                                                                                    "NextUse",
                                                                                                    "Inventory",
                                                                                                    "InventoryTaken"};
  static_assert(!kNames.back().empty());
  return kNames[message.index()];
}

}  // namespace tegula::msg
