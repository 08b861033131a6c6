#pragma once

#include <memory>
#include <string>
#include <vector>

namespace xen_block_stats {

// A connection to xenstored through libxenstore, which has no timeouts and never reconnects: so it
// runs on a thread of its own, and whoever asks waits for that thread no longer than he likes.
// Not for two threads at a time.
class Xenstore {
 public:
  enum class Operation { kRead, kDirectory };

  // The answer about one path: an errno (0, ENOENT, EACCES, EPERM), and if it is 0 the node's value
  // (kRead: one string, any bytes) or the names of its children (kDirectory).
  struct Answer {
    int error = 0;
    std::vector<std::string> strings;
  };

  enum class Outcome {
    kAnswered,
    kNoLibrary,      // libxenstore is not installed
    kConnectFailed,  // nobody answers at the socket, or not to us
    kTimedOut,       // xenstored did not answer in time
    kBroken,         // the connection broke, and the next one too; or nonsense came
  };

  struct Result {
    Outcome outcome;
    int error = 0;                // errno for kConnectFailed and kBroken
    std::vector<Answer> answers;  // one for each path, for kAnswered
  };

  // socket: the path of xenstored's socket; empty: where libxenstore looks for it by itself.
  explicit Xenstore(std::string socket);
  ~Xenstore();
  Xenstore(const Xenstore&) = delete;
  Xenstore& operator=(const Xenstore&) = delete;

  // Asks for all the paths, and waits timeout_ms at most for all the answers. It connects when
  // there is no connection, and once more when the connection turns out to be broken.
  Result Ask(Operation operation, const std::vector<std::string>& paths, double timeout_ms);

 private:
  class Link;

  std::string socket_;
  std::shared_ptr<Link> link_;
  // Links whose threads have not come back from libxenstore since somebody gave up waiting.
  std::vector<std::shared_ptr<Link>> stuck_;
};

}  // namespace xen_block_stats
