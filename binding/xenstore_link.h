#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "deadline.h"
#include "libxenstore.h"

namespace xen_block_stats {

// One connection to xenstored and its threads. libxenstore has no timeouts, so it runs on a thread
// of the link's, and whoever asks waits for that no longer than he likes. A link is used once: when
// its connection breaks, it stays broken. Whoever holds it owns a share of it, and so do its
// threads: one that is stuck in libxenstore keeps it until it has come back.
class XenstoreLink : public std::enable_shared_from_this<XenstoreLink> {
 public:
  enum class Operation { kRead, kDirectory, kWatch, kUnwatch };

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
    kBroken,         // the connection broke, or nonsense came
  };

  struct Result {
    Outcome outcome;
    int error = 0;                     // errno for kConnectFailed and kBroken
    std::vector<Answer> answers = {};  // one for each path, for kAnswered
    Operation operation = Operation::kRead;
  };

  // What happened since it was last asked for.
  struct News {
    std::optional<Result> answer;   // to what was posted
    std::set<std::string> changed;  // by what is watched: paths, cut off after kPathParts names
    bool broken = false;            // no more watch events will come
  };

  // /local/domain/0/backend/vbd/1: whose disk it is, and no more, so that a busy guest is one
  // entry.
  static constexpr int kPathParts = 6;

  // Starts to connect to the socket, or, if that is empty, to where libxenstore looks by itself.
  // Null if no thread is to be had. notify is called by the link's threads when there are news.
  static std::shared_ptr<XenstoreLink> Start(const std::string& socket,
                                             std::function<void()> notify = nullptr);

  // Asks for all the paths, and waits for all the answers.
  Result Ask(Operation operation, std::vector<std::string> paths, const Deadline& deadline);

  // Asks, and the answer will be in the news. One at a time.
  void Post(Operation operation, std::vector<std::string> paths);

  News TakeNews();

  // Ends the threads and the connection. Whoever waits for xenstored there waits no longer, unless
  // it is for the connection to be made.
  void Stop();

  // Whether, after Stop(), it has ended before the deadline.
  bool EndsBefore(const Deadline& deadline);

 private:
  void Run(const std::string& socket);
  Result AskAll(const Libxenstore& library, xs_handle* handle, Operation operation,
                const std::vector<std::string>& paths);
  bool Watch(const Libxenstore& library, xs_handle* handle, const std::string& path);
  void Listen(const Libxenstore& library, xs_handle* handle);
  bool GivenUp();

  std::thread thread_;
  std::function<void()> notify_;

  std::mutex mutex_;
  Condition changed_;
  // All below is guarded by mutex_, but for listener_, which is the first thread's.
  Operation operation_ = Operation::kRead;
  std::vector<std::string> paths_;
  bool asked_ = false;
  bool posted_ = false;
  std::optional<Result> result_;
  std::set<std::string> unheard_;  // watched, but the event that every watch begins with is to come
  std::set<std::string> paths_changed_;
  bool listening_failed_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  int descriptor_ = -1;  // the connection's, as long as libxenstore may be in it
  std::thread listener_;
};

// Links that were stopped and have not ended: xenstored hangs. They must not become more and more.
class StoppedLinks {
 public:
  void Add(std::shared_ptr<XenstoreLink> link);

  // Whether another link may be started: if too many hang, it waits for one of them to end.
  bool HasRoom(const Deadline& deadline);

 private:
  std::vector<std::shared_ptr<XenstoreLink>> links_;
};

}  // namespace xen_block_stats
