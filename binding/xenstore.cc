#include "xenstore.h"

#include <cerrno>
#include <utility>

namespace xen_block_stats {

using Outcome = XenstoreLink::Outcome;

Xenstore::Xenstore(std::string socket) : socket_(std::move(socket)) {}

Xenstore::~Xenstore() {
  if (link_) link_->Stop();
}

XenstoreLink::Result Xenstore::Ask(XenstoreLink::Operation operation,
                                   const std::vector<std::string>& paths, double timeout_ms) {
  const Deadline deadline(timeout_ms);
  XenstoreLink::Result result{Outcome::kBroken, 0};
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!link_) {
      if (!stopped_.HasRoom(deadline)) return {Outcome::kTimedOut, ETIMEDOUT};
      link_ = XenstoreLink::Start(socket_);
      if (!link_) return {Outcome::kConnectFailed, errno};
    }
    result = link_->Ask(operation, paths, deadline);
    if (result.outcome == Outcome::kAnswered) return result;

    stopped_.Stop(std::move(link_));
    if (result.outcome != Outcome::kBroken) return result;
  }
  return result;
}

}  // namespace xen_block_stats
