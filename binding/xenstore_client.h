#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "deadline.h"

namespace xen_block_stats {

// A client of xenstored. libxenstore blocks until xenstored responds, has no timeout and does not
// reconnect. So it runs on a thread of the client: the caller waits for that thread until a
// deadline, or is notified. Not thread-safe.
//
// When the connection is lost, the next request makes a new one. While a request is unanswered
// after its deadline, every further request fails at once: one thread is stuck, or two after
// GiveUp().
class XenstoreClient {
 public:
  // What xenstored is requested to do with a path. kWatch of a path that is watched does nothing.
  // In a path of kRead, `*` stands for each child of the directory before it, and `#` for each
  // whose name is a number: the answer is a list of their names, or, if the path goes on, of lists
  // of a name and the answer to the rest. `{name,vm}` stands for these names: the answer is a list.
  // No name in xenstore has such a character.
  enum class Operation { kRead, kWatch, kUnwatch };

  // The part of a response that is about one path.
  struct Answer {
    int error = 0;           // an errno: 0, ENOENT, EACCES or EPERM
    std::string value = {};  // for kRead: of any bytes
    bool is_list = false;    // the answer is the following
    std::vector<Answer> list = {};
  };

  // The result of a request.
  enum class Outcome {
    kAnswered,
    kNoLibrary,      // libxenstore is not installed
    kConnectFailed,  // xenstored cannot be reached
    kTimedOut,       // xenstored did not respond before the deadline
    kBroken,         // the connection to xenstored was lost
  };

  // The response to a request about many paths.
  struct Response {
    Outcome outcome = Outcome::kAnswered;
    int error = 0;                     // an errno, for kConnectFailed and kBroken
    std::vector<Answer> answers = {};  // for kAnswered: one for each path
  };

  // What happened since the last Take().
  struct Events {
    std::optional<Response> response;  // to the request of Post()
    std::set<std::string> changed;     // the paths of watch events, see kPathNames
    bool lost = false;                 // the connection was lost, and its watches with it
  };

  // The number of names after which the paths of watch events are cut off. The six names of
  // /local/domain/0/backend/vbd/1 identify the domain whose disks have changed: all its watch
  // events are one entry.
  static constexpr int kPathNames = 6;

  // socket: the path of xenstored's socket; empty: libxenstore's default.
  // notify: called when Take() has something to give: on the client's thread, or by Post() if it
  // fails. Without it Post() must not be used.
  explicit XenstoreClient(std::string socket, std::function<void()> notify = nullptr);
  // Ends the connection without waiting for xenstored. A thread that is stuck in libxenstore is
  // abandoned: it ends when xenstored responds or ends.
  ~XenstoreClient();
  XenstoreClient(const XenstoreClient&) = delete;
  XenstoreClient& operator=(const XenstoreClient&) = delete;

  // Requests the operation for each path, and waits for all answers until the deadline. Reconnects
  // and retries once if the connection is lost.
  Response Request(Operation operation, const std::vector<std::string>& paths,
                   const Deadline& deadline);

  // Requests without waiting. Take() gives the response. One request at a time.
  void Post(Operation operation, std::vector<std::string> paths);

  // Returns what happened since the last call.
  Events Take();

  // Counts watch events and lost connections. What was read of watched nodes after a call is true
  // for as long as further calls return the same number: xenstored has told no change since.
  uint32_t Changes() const { return *changes_; }

  // Abandons the thread of an unanswered request, and its watches, so that the next request makes a
  // new connection: a thread in xs_watch can miss the end of its connection and never return.
  // Returns false if no request is unanswered, or if a thread that was abandoned before has not
  // ended: one thread is the limit.
  bool GiveUp();

 private:
  class Session;  // xenstore_session.h

  // Makes a session that can do the operation if there is none. Returns why that is impossible, or
  // that the session is busy.
  std::optional<Response> Open(Operation operation, const Deadline& deadline);

  const std::string socket_;
  const std::function<void()> notify_;
  // Shared with the threads of its sessions, also of those that it has abandoned.
  const std::shared_ptr<std::atomic<uint32_t>> changes_ =
      std::make_shared<std::atomic<uint32_t>>(0);
  bool watches_ = false;               // a watch was requested
  std::shared_ptr<Session> session_;   // shared with its thread
  std::shared_ptr<Session> given_up_;  // the last session that GiveUp() abandoned
  Events untaken_;                     // of ended sessions, and of a Post() that had no session
};

}  // namespace xen_block_stats
