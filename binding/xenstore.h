#pragma once

#include <memory>
#include <string>
#include <vector>

#include "xenstore_link.h"

namespace xen_block_stats {

// What xenstored knows, for whoever waits for the answer: over one link, or the next one when that
// breaks. Not for two threads at a time.
class Xenstore {
 public:
  // socket: the path of xenstored's socket; empty: where it is by default.
  explicit Xenstore(std::string socket);
  ~Xenstore();
  Xenstore(const Xenstore&) = delete;
  Xenstore& operator=(const Xenstore&) = delete;

  // Asks for all the paths, and waits timeout_ms at most for all the answers. It connects when
  // there is no connection, and once more when the connection turns out to be broken.
  XenstoreLink::Result Ask(XenstoreLink::Operation operation, const std::vector<std::string>& paths,
                           double timeout_ms);

 private:
  std::string socket_;
  std::shared_ptr<XenstoreLink> link_;
  StoppedLinks stopped_;
};

}  // namespace xen_block_stats
