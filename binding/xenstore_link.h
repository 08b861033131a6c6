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
#include "xenstore_wire.h"

namespace xen_block_stats {

// One connection to xenstored and its thread, which is where it is waited for xenstored: whoever
// asks waits for the thread no longer than he likes, or not at all. A link is used once: when its
// connection breaks, it stays broken. Whoever holds it owns a share of it, and so does its thread.
class XenstoreLink {
 public:
  enum class Operation { kRead, kDirectory, kWatch, kUnwatch };

  // The answer about one path: an errno (0, ENOENT, EACCES, EPERM), and if it is 0 the node's value
  // (kRead: one string, any bytes) or the names of its children (kDirectory).
  struct Answer {
    int error = 0;
    std::vector<std::string> strings = {};
  };

  enum class Outcome {
    kAnswered,
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

  // Starts to connect to the socket, or, if that is empty, to where xenstored is by default. Null,
  // with errno, if there is no thread or no descriptor to be had. notify is called by the link's
  // thread when there are news.
  static std::shared_ptr<XenstoreLink> Start(const std::string& socket,
                                             std::function<void()> notify = nullptr);

  XenstoreLink();
  ~XenstoreLink();
  XenstoreLink(const XenstoreLink&) = delete;
  XenstoreLink& operator=(const XenstoreLink&) = delete;

  // Asks for all the paths, and waits for all the answers.
  Result Ask(Operation operation, std::vector<std::string> paths, const Deadline& deadline);

  // Asks, and the answer will be in the news, before the deadline. One at a time.
  void Post(Operation operation, std::vector<std::string> paths, const Deadline& deadline);

  News TakeNews();

  // Ends the thread and the connection. False if the kernel's device keeps them.
  bool Stop();

  // Whether, after Stop(), it has ended before the deadline.
  bool EndsBefore(const Deadline& deadline);

 private:
  void Run(const std::string& path);
  Result AskAll(XenstoreWire* wire, Operation operation, const std::vector<std::string>& paths);
  XenstoreWire::Reply AskOne(XenstoreWire* wire, Operation operation, const std::string& path);
  void Note(const std::vector<XenstoreWire::Event>& events);
  void Call();
  int WaitFor(int descriptor, short events);
  void WaitForCallOr(int descriptor);

  std::thread thread_;
  std::function<void()> notify_;
  const int call_;  // an eventfd: the thread has something to look at

  std::mutex mutex_;
  Condition changed_;
  // All below is guarded by mutex_.
  Operation operation_ = Operation::kRead;
  std::vector<std::string> paths_;
  Deadline deadline_{0};
  bool asked_ = false;
  bool posted_ = false;
  std::optional<Result> result_;
  std::set<std::string> unheard_;  // watched, but the event that every watch begins with is to come
  std::set<std::string> paths_changed_;
  bool broken_ = false;
  bool stopping_ = false;
  bool ended_ = false;
};

// Stops links, and has an eye on those that do not end: they must not become more and more.
class StoppedLinks {
 public:
  void Stop(std::shared_ptr<XenstoreLink> link);

  // Whether another link may be started: if too many hang, it waits for one of them to end.
  bool HasRoom(const Deadline& deadline);

 private:
  std::vector<std::shared_ptr<XenstoreLink>> links_;
};

}  // namespace xen_block_stats
