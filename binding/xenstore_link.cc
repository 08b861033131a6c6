#include "xenstore_link.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace xen_block_stats {
namespace {

constexpr size_t kMaxStopped = 4;

// A thread that is told to stop does so at once, unless a write to the kernel's device keeps it.
constexpr double kStopMs = 50;

// A moment, in milliseconds.
constexpr int kMomentMs = 5;

// For threads that inherit the mask: signals are for Node's own threads.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// The errors that xenstored gives about a path; with any other, it is the connection that failed.
bool IsAboutPath(int error) { return error == ENOENT || error == EACCES || error == EPERM; }

// The path up to so many names.
std::string Shorten(const std::string& path, int parts) {
  size_t end = 0;
  for (int i = 0; i < parts && end != std::string::npos; ++i) end = path.find('/', end + 1);
  return path.substr(0, end);
}

// Strings that each end with a NUL.
std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> strings;
  for (size_t start = 0; start < text.size(); start += strings.back().size() + 1) {
    strings.emplace_back(text.c_str() + start);
  }
  return strings;
}

}  // namespace

std::shared_ptr<XenstoreLink> XenstoreLink::Start(const std::string& socket,
                                                  std::function<void()> notify) {
  auto link = std::make_shared<XenstoreLink>();
  if (link->call_ < 0) return nullptr;
  link->notify_ = std::move(notify);
  // Looked up here: the environment is for the threads of Node to read.
  const std::string path = socket.empty() ? XenstoreWire::DefaultPath() : socket;
  const SignalsBlocked blocked;
  try {
    link->thread_ = std::thread([link, path] { link->Run(path); });
  } catch (const std::system_error&) {
    errno = EAGAIN;
    return nullptr;
  }
  return link;
}

XenstoreLink::XenstoreLink() : call_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

XenstoreLink::~XenstoreLink() {
  if (call_ >= 0) close(call_);
}

XenstoreLink::Result XenstoreLink::Ask(Operation operation, std::vector<std::string> paths,
                                       const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  operation_ = operation;
  paths_ = std::move(paths);
  deadline_ = deadline;
  asked_ = true;
  Call();
  if (!changed_.WaitUntil(lock, deadline, [this] { return !asked_; })) {
    return {Outcome::kTimedOut, ETIMEDOUT};
  }
  Result result = std::move(*result_);
  result_.reset();
  return result;
}

void XenstoreLink::Post(Operation operation, std::vector<std::string> paths,
                        const Deadline& deadline) {
  std::lock_guard<std::mutex> lock(mutex_);
  operation_ = operation;
  paths_ = std::move(paths);
  deadline_ = deadline;
  asked_ = true;
  posted_ = true;
  Call();
}

XenstoreLink::News XenstoreLink::TakeNews() {
  std::lock_guard<std::mutex> lock(mutex_);
  News news;
  if (posted_ && !asked_) {
    news.answer = std::move(result_);
    result_.reset();
    posted_ = false;
  }
  news.changed.swap(paths_changed_);
  news.broken = broken_;
  return news;
}

bool XenstoreLink::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    Call();
  }
  const bool ended = EndsBefore(Deadline(kStopMs));
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
  return ended;
}

bool XenstoreLink::EndsBefore(const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.WaitUntil(lock, deadline, [this] { return ended_; });
}

void XenstoreLink::Run(const std::string& path) {
  {
    XenstoreWire wire([this](int descriptor, short events) { return WaitFor(descriptor, events); });
    const int connect_error = wire.Connect(path);

    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      if (asked_) {
        const Operation operation = operation_;
        const std::vector<std::string> paths = std::move(paths_);
        lock.unlock();
        Result result{connect_error == ETIMEDOUT ? Outcome::kTimedOut : Outcome::kConnectFailed,
                      connect_error};
        if (connect_error == 0) result = AskAll(&wire, operation, paths);
        lock.lock();
        result_ = std::move(result);
        asked_ = false;
        changed_.Notify();
        if (posted_ && notify_) notify_();
      } else {
        lock.unlock();
        WaitForCallOr(wire.descriptor());
        if (wire.descriptor() >= 0) wire.Receive();
        lock.lock();
      }
      Note(wire.TakeEvents());
      if (connect_error == 0 && wire.descriptor() < 0 && !std::exchange(broken_, true) && notify_) {
        notify_();
      }
    }
  }
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  changed_.Notify();
}

XenstoreLink::Result XenstoreLink::AskAll(XenstoreWire* wire, Operation operation,
                                          const std::vector<std::string>& paths) {
  Result result{Outcome::kAnswered};
  result.operation = operation;
  result.answers.reserve(paths.size());
  for (const std::string& path : paths) {
    const XenstoreWire::Reply reply = AskOne(wire, operation, path);
    if (reply.broken == ETIMEDOUT) return {Outcome::kTimedOut, ETIMEDOUT};
    if (reply.broken != 0) return {Outcome::kBroken, reply.broken};
    if (reply.error != 0 && !IsAboutPath(reply.error)) return {Outcome::kBroken, reply.error};
    Answer answer{reply.error};
    if (reply.error == 0 && operation == Operation::kRead) answer.strings = {reply.payload};
    if (reply.error == 0 && operation == Operation::kDirectory) {
      answer.strings = Split(reply.payload);
    }
    result.answers.push_back(std::move(answer));
  }
  return result;
}

XenstoreWire::Reply XenstoreLink::AskOne(XenstoreWire* wire, Operation operation,
                                         const std::string& path) {
  // The token of a watch is its path.
  const std::string watch = path + '\0' + path + '\0';
  switch (operation) {
    case Operation::kRead:
      return wire->Ask(XenstoreWire::Type::kRead, path + '\0');
    case Operation::kDirectory:
      return wire->List(path);
    case Operation::kUnwatch:
      return wire->Ask(XenstoreWire::Type::kUnwatch, watch);
    default: {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        unheard_.insert(path);
      }
      return wire->Ask(XenstoreWire::Type::kWatch, watch);
    }
  }
}

void XenstoreLink::Note(const std::vector<XenstoreWire::Event>& events) {
  bool any = false;
  for (const XenstoreWire::Event& event : events) {
    if (unheard_.erase(event.token) > 0) continue;
    paths_changed_.insert(Shorten(event.path, kPathParts));
    any = true;
  }
  if (any && notify_) notify_();
}

// Has the thread look at what there is to do.
void XenstoreLink::Call() {
  constexpr uint64_t kOnce = 1;
  // It fails only when it has been called very often already.
  if (write(call_, &kOnce, sizeof(kOnce)) < 0) return;
}

// In the middle of a request: 0 when there is one of these events, or after a moment if there is no
// descriptor; ECANCELED when the link is to stop; ETIMEDOUT when it has taken too long.
int XenstoreLink::WaitFor(int descriptor, short events) {
  for (;;) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (stopping_) return ECANCELED;
    // Before there is a question there is no hurry.
    const double left = asked_ ? deadline_.MillisecondsLeft() : kMomentMs;
    lock.unlock();
    if (left <= 0) return ETIMEDOUT;

    pollfd waiting[] = {{call_, POLLIN, 0}, {descriptor, events, 0}};
    const int at_most = descriptor < 0 ? kMomentMs : static_cast<int>(std::min(left, 1e9)) + 1;
    if (poll(waiting, 2, at_most) < 0 && errno != EINTR) return errno;
    uint64_t calls;
    if (waiting[0].revents != 0 && read(call_, &calls, sizeof(calls)) < 0) continue;
    if (waiting[1].revents != 0) return 0;
    if (descriptor < 0 && waiting[0].revents == 0) return 0;
  }
}

// Between requests.
void XenstoreLink::WaitForCallOr(int descriptor) {
  pollfd waiting[] = {{call_, POLLIN, 0}, {descriptor, POLLIN, 0}};
  uint64_t calls;
  if (poll(waiting, 2, -1) > 0 && waiting[0].revents != 0) {
    if (read(call_, &calls, sizeof(calls)) < 0) return;
  }
}

void StoppedLinks::Stop(std::shared_ptr<XenstoreLink> link) {
  if (!link->Stop()) links_.push_back(std::move(link));
}

bool StoppedLinks::HasRoom(const Deadline& deadline) {
  const Deadline now(0);
  links_.erase(std::remove_if(links_.begin(), links_.end(),
                              [&now](const auto& link) { return link->EndsBefore(now); }),
               links_.end());
  return links_.size() < kMaxStopped || links_.front()->EndsBefore(deadline);
}

}  // namespace xen_block_stats
