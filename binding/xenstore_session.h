#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "deadline.h"
#include "libxenstore.h"
#include "xenstore_client.h"

namespace xen_block_stats {

// One connection to xenstored and its thread. When the connection is lost, the thread ends, and the
// client makes a new session. The public methods are for the JavaScript thread.
class XenstoreClient::Session {
 public:
  // Returns whether a session may be started: not while four threads of this process are abandoned.
  static bool CanStart();

  // Starts the thread, which connects. Returns null, with errno, if the process can have no more
  // threads or descriptors. is_default: whether to use libxenstore's default socket, or that of the
  // SocketVariable. has_watches: whether kWatch may be requested. changes: incremented for every
  // watch event, and when the connection is lost.
  static std::shared_ptr<Session> Start(const Libxenstore& library, bool is_default,
                                        bool has_watches,
                                        std::shared_ptr<std::atomic<uint32_t>> changes,
                                        std::function<void()> notify);

  // For Start() only.
  Session(const Libxenstore& library, bool is_default, bool has_watches,
          std::shared_ptr<std::atomic<uint32_t>> changes, std::function<void()> notify)
      : library_(library),
        is_default_(is_default),
        has_watches_(has_watches),
        changes_(std::move(changes)),
        notify_(std::move(notify)) {}
  ~Session() {
    if (wake_ >= 0) close(wake_);
  }

  // Waits until libxenstore has opened the connection or has failed to. Returns false if it has
  // done neither by the deadline.
  bool WaitUntilOpened(const Deadline& deadline);
  // Returns the errno of a connection that could not be opened; 0 if it could, or is not yet open.
  int OpenError();
  // Returns whether a request is unanswered or the session was stopped.
  bool IsBusy();
  // Returns whether the thread has ended.
  bool HasEnded();

  // Sends a request for each path and waits for all answers until the deadline (kTimedOut).
  Response Request(Operation operation, std::vector<std::string> paths, const Deadline& deadline);
  // Sends a request for each path without waiting: Take() gives the response.
  void Post(Operation operation, std::vector<std::string> paths);
  // Returns what happened since the last call.
  Events Take();
  // Tells the thread to end, and stops notifications. Waits for an idle thread; abandons one that
  // is in libxenstore.
  void Stop();

 private:
  // Hands a request to the thread. The caller holds the mutex.
  void Submit(Operation operation, std::vector<std::string> paths, bool is_posted);
  // Ends an unanswered request with end_, and notifies. The caller holds the mutex.
  void EndRequest();
  // Interrupts the thread's poll.
  void Wake();

  // The following are for the session's thread. It never holds the mutex while it calls
  // libxenstore, which may not return after a connection was lost.

  void Run();
  // Connects. Returns 0 or an errno.
  int Open();
  Response RequestAll(Operation operation, const std::vector<std::string>& paths);
  // The following return 0 or an errno.
  int RequestOne(Operation operation, const std::string& path, Answer* answer);
  // Reads a path that may have `*`, `#` and `{}`.
  int Read(const std::string& path, Answer* answer);
  int ReadNode(const std::string& path, Answer* answer);
  // Reads the names that `*` or `#` stand for after a directory.
  int List(const std::string& directory, char wildcard, std::vector<std::string>* names);
  int Watch(const std::string& path);
  bool IsStopping();
  // Returns whether nothing waits for the response any more.
  bool IsCancelled();
  // Takes the watch events that have come. Returns 0, or an errno if the connection is lost.
  int DrainEvents();
  // Waits until Wake() or a watch event, at most kCheckMs if the session watches.
  void WaitForWork();

  const Libxenstore& library_;
  const bool is_default_;  // uses libxenstore's default socket
  const bool has_watches_;
  const std::shared_ptr<std::atomic<uint32_t>> changes_;
  int wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);  // interrupts the thread's poll

  std::mutex mutex_;  // guards the members down to pending_
  Condition changed_;
  std::function<void()> notify_;
  bool is_opened_ = false;
  int open_error_ = 0;
  bool is_stopping_ = false;
  bool is_abandoned_ = false;
  bool has_ended_ = false;
  // The last request.
  bool is_unanswered_ = false;  // it has no response yet
  bool is_posted_ = false;      // by Post()
  bool is_cancelled_ = false;   // its deadline has passed
  Operation operation_ = Operation::kRead;
  std::vector<std::string> paths_;
  std::optional<Response> response_;
  Response end_;  // what ended the session
  Events pending_;

  // The following are for the session's thread. Watches have a handle of their own, because
  // requests on a handle with watches take twice as long, and when the connection is lost in such a
  // request libxenstore may close its descriptor twice.
  xs_handle* requests_ = nullptr;
  xs_handle* watch_handle_ = nullptr;
  std::set<std::string> watched_;  // the paths of the watches, which are their tokens, too
  // The watches whose first event has not come: xenstored sends it at once, and it means no change.
  std::set<std::string> awaiting_first_event_;
};

}  // namespace xen_block_stats
