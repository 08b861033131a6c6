#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "deadline.h"

namespace xen_block_stats {

// A client of xenstored, by libxenstore. libxenstore blocks until xenstored answers, has no timeout
// and does not reconnect: it runs on a thread of the client's, and the caller waits for that thread
// until a deadline, or is notified. Not thread-safe.
//
// When the connection breaks, the next request makes a new one. While a request is unanswered after
// its deadline, every further request fails at once: no more than one thread is stuck.
class XenstoreClient {
 public:
  enum class Operation { kRead, kDirectory, kWatch, kUnwatch };

  // The answer about one path: an errno (0, ENOENT, EACCES, EPERM, EEXIST), and if it is 0 the
  // value of the node (kRead: one string, any bytes) or the names of its children (kDirectory).
  struct Answer {
    int error = 0;
    std::vector<std::string> strings = {};
  };

  enum class Outcome {
    kAnswered,
    kNoLibrary,      // libxenstore is not installed
    kConnectFailed,  // xenstored cannot be reached
    kTimedOut,       // xenstored did not answer before the deadline
    kBroken,         // the connection to xenstored was lost
  };

  struct Response {
    Outcome outcome = Outcome::kAnswered;
    int error = 0;                     // errno for kConnectFailed and kBroken
    std::vector<Answer> answers = {};  // one for each path, for kAnswered
  };

  // What happened since the last Take().
  struct Events {
    std::optional<Response> response;  // to the request of Post()
    std::set<std::string> changed;     // paths below which something changed, see kPathNames
    bool lost = false;                 // the connection was lost, and its watches with it
  };

  // Paths of watch events are cut off after this many names. /local/domain/0/backend/vbd/1 tells
  // whose disks have changed, and a busy guest is one entry.
  static constexpr int kPathNames = 6;

  // socket: the path of xenstored's socket; empty: libxenstore's default.
  // notify: called when Take() has something to give, on the client's thread, or by Post() if it
  // fails. With it the client can watch; without it, kWatch and kUnwatch must not be requested.
  explicit XenstoreClient(std::string socket, std::function<void()> notify = nullptr);
  // Ends the connection. Does not wait for xenstored: a thread that is stuck in libxenstore is
  // abandoned, and ends when xenstored answers or dies.
  ~XenstoreClient();
  XenstoreClient(const XenstoreClient&) = delete;
  XenstoreClient& operator=(const XenstoreClient&) = delete;

  // Requests the same of many paths, and waits for all answers until the deadline. If the
  // connection turns out to be lost, reconnects and retries once.
  Response Request(Operation operation, const std::vector<std::string>& paths,
                   const Deadline& deadline);

  // Requests without waiting; the response is in the events. One at a time.
  void Post(Operation operation, std::vector<std::string> paths);

  Events Take();

  // Abandons the thread of an unanswered request, and its watches, so that the next request makes a
  // new connection. A thread in xs_watch can miss the end of its connection and never return.
  // False if there is none, or if a thread that was abandoned before has not ended: one is the
  // limit.
  bool GiveUp();

 private:
  class Session;

  std::optional<Response> Open(const Deadline& deadline);

  const std::string socket_;
  const std::function<void()> notify_;
  std::shared_ptr<Session> session_;   // shared with its thread
  std::shared_ptr<Session> given_up_;  // the last one that GiveUp() abandoned
  Events untaken_;                     // of sessions that have ended, and of a Post() that had none
};

}  // namespace xen_block_stats
