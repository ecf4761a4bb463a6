#include "comm/link.h"

#include <iterator>
#include <utility>

namespace tegula {

namespace {

class LinkConnection final : public Connection {
 public:
  explicit LinkConnection(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~LinkConnection() override {
    link_->loop()->dispatch([link = link_] { link->close(); });
  }

  void send(msg::Message message) override { link_->send(std::move(message)); }
  std::optional<std::string> excess(const msg::Message& message) const override { return link_->excess(message); }
  void close() override { link_->close(); }
  const PeerInfo& peer() const override { return link_->peer(); }
  Counters counters() const override { return link_->counters(); }

 private:
  std::shared_ptr<Link> link_;
};

}  // namespace

void Link::close() {
  if (muted_) return;
  muted_ = true;
  early_.clear();
  shut();
}

void Link::deliver(std::vector<msg::Message> batch) {
  // Kept until the handler has returned, so that the handler may drop the last handle.
  const auto connection = connection_.lock();
  if (muted_ || !connection) return;
  if (!early_.empty()) {
    early_.insert(early_.end(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    batch.swap(early_);
    early_.clear();
  }
  if (batch.empty()) return;
  if (connection->on_messages) {
    connection->on_messages(std::move(batch));
  } else {
    early_ = std::move(batch);
  }
}

void Link::report_closed(std::string reason) {
  loop_->post([self = shared_from_this(), reason = std::move(reason)] {
    self->deliver({});
    const auto connection = self->connection_.lock();
    if (self->muted_ || !connection) return;
    self->muted_ = true;
    if (connection->on_closed) connection->on_closed(reason);
  });
}

ConnectionPtr make_connection(std::shared_ptr<Link> link) {
  auto connection = std::make_shared<LinkConnection>(link);
  link->attach(connection);
  link->loop()->post([link] { link->start(); });
  return connection;
}

}  // namespace tegula
