// What the messages of a client's session come to: the layers that it names and what it wants of them. A client keeps
// this to tell it to a scheduler that does not know the session, and the scheduler's journal to write it as a snapshot.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "comm/messages.h"
#include "src/want_map.h"

namespace tegula {

class SessionContents {
 public:
  // A change that the scheduler took. What cannot be, as wants of a layer that is not there, is left out.
  void apply(const msg::Submit& change);
  void apply(const msg::ReleaseWants& change);
  void apply(const msg::ForgetLayers& change);
  // All that is wanted there counts as cancelled, whether it was finished or not.
  void apply(const msg::CancelWants& change);
  // Any message: others than these change nothing.
  void apply(const msg::Message& change);

  // Changes that lead from an empty session to this one, without sequence numbers: one layer each, then what is wanted.
  std::vector<msg::Message> changes() const;

  bool empty() const { return layers_.empty(); }
  std::size_t layers() const { return layers_.size(); }

 private:
  struct Wants {
    WantMap live, cancelled;
    std::int32_t priority = 0;  // of the last submission that wanted some
  };
  struct Known {
    msg::LayerPtr description;
    msg::SubmitOptions options;
    bool named = true;          // not forgotten
    std::uint32_t readers = 0;  // rules of layers that are known
    std::vector<Wants> outputs;
  };
  // The wants of a range that makes sense, else null.
  Wants* wants_of(const msg::WantRange& range);
  void drop_unused(LayerNumber number);
  void add_wants(std::vector<msg::Message>& changes) const;

  std::map<LayerNumber, Known> layers_;
};

}  // namespace tegula
