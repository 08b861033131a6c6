#include "xenstore_link.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

namespace xen_block_stats {
namespace {

constexpr size_t kMaxStopped = 4;

// The token of the watch that has a listener look up whose connection cannot be interrupted. The
// others' tokens are their paths.
constexpr char kStop[] = "stop";

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

int ErrnoOr(int other) { return errno != 0 ? errno : other; }

XenstoreLink::Answer Read(const Libxenstore& library, xs_handle* handle, const std::string& path) {
  unsigned length = 0;
  errno = 0;
  const std::unique_ptr<void, decltype(&free)> value(
      library.read(handle, XBT_NULL, path.c_str(), &length), free);
  if (!value) return {ErrnoOr(EIO), {}};
  return {0, {std::string(static_cast<const char*>(value.get()), length)}};
}

XenstoreLink::Answer List(const Libxenstore& library, xs_handle* handle, const std::string& path) {
  unsigned count = 0;
  errno = 0;
  const std::unique_ptr<char*, decltype(&free)> names(
      library.directory(handle, XBT_NULL, path.c_str(), &count), free);
  if (!names) return {ErrnoOr(EIO), {}};
  return {0, std::vector<std::string>(names.get(), names.get() + count)};
}

// The path up to so many names.
std::string Shorten(const std::string& path, int parts) {
  size_t end = 0;
  for (int i = 0; i < parts && end != std::string::npos; ++i) end = path.find('/', end + 1);
  return path.substr(0, end);
}

}  // namespace

std::shared_ptr<XenstoreLink> XenstoreLink::Start(const std::string& socket,
                                                  std::function<void()> notify) {
  auto link = std::make_shared<XenstoreLink>();
  link->notify_ = std::move(notify);
  const SignalsBlocked blocked;
  try {
    link->thread_ = std::thread([link, socket] { link->Run(socket); });
  } catch (const std::system_error&) {
    return nullptr;  // no more threads to be had
  }
  return link;
}

XenstoreLink::Result XenstoreLink::Ask(Operation operation, std::vector<std::string> paths,
                                       const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  operation_ = operation;
  paths_ = std::move(paths);
  asked_ = true;
  changed_.Notify();
  if (!changed_.WaitUntil(lock, deadline, [this] { return !asked_; })) {
    return {Outcome::kTimedOut, ETIMEDOUT};
  }
  Result result = std::move(*result_);
  result_.reset();
  return result;
}

void XenstoreLink::Post(Operation operation, std::vector<std::string> paths) {
  std::lock_guard<std::mutex> lock(mutex_);
  operation_ = operation;
  paths_ = std::move(paths);
  asked_ = true;
  posted_ = true;
  changed_.Notify();
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
  news.broken = listening_failed_;
  return news;
}

void XenstoreLink::Stop() {
  std::unique_lock<std::mutex> lock(mutex_);
  stopping_ = true;
  // Only then it is sure to come back at once: a listener has to be woken by xenstored.
  const bool idle = !asked_ && !listener_.joinable();
  changed_.Notify();
  if (!idle && descriptor_ >= 0) Libxenstore::Interrupt(descriptor_);
  lock.unlock();
  if (idle) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

bool XenstoreLink::EndsBefore(const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.WaitUntil(lock, deadline, [this] { return ended_; });
}

void XenstoreLink::Run(const std::string& socket) {
  const Libxenstore* library = Libxenstore::Load();
  xs_handle* handle = library != nullptr ? library->Connect(socket) : nullptr;
  const int connect_error = errno;

  std::unique_lock<std::mutex> lock(mutex_);
  if (handle != nullptr) descriptor_ = Libxenstore::DescriptorOf(handle);
  for (;;) {
    changed_.Wait(lock, [this] { return asked_ || stopping_; });
    if (stopping_) break;
    if (library == nullptr) {
      result_ = {Outcome::kNoLibrary, 0};
    } else if (handle == nullptr) {
      result_ = {Outcome::kConnectFailed, connect_error};
    } else {
      const Operation operation = operation_;
      const std::vector<std::string> paths = std::move(paths_);
      lock.unlock();
      Result result = AskAll(*library, handle, operation, paths);
      lock.lock();
      result_ = std::move(result);
    }
    asked_ = false;
    changed_.Notify();
    if (posted_ && notify_) notify_();
  }
  lock.unlock();
  if (listener_.joinable()) {
    library->watch(handle, "/", kStop);
    listener_.join();
  }
  lock.lock();
  descriptor_ = -1;
  lock.unlock();
  if (handle != nullptr) library->close(handle);
  lock.lock();
  ended_ = true;
  changed_.Notify();
}

XenstoreLink::Result XenstoreLink::AskAll(const Libxenstore& library, xs_handle* handle,
                                          Operation operation,
                                          const std::vector<std::string>& paths) {
  Result result{Outcome::kAnswered};
  result.operation = operation;
  result.answers.reserve(paths.size());
  for (const std::string& path : paths) {
    Answer answer;
    errno = 0;
    switch (operation) {
      case Operation::kRead:
        answer = Read(library, handle, path);
        break;
      case Operation::kDirectory:
        answer = List(library, handle, path);
        break;
      case Operation::kWatch:
        if (!Watch(library, handle, path)) answer.error = ErrnoOr(EIO);
        break;
      case Operation::kUnwatch:
        if (!library.unwatch(handle, path.c_str(), path.c_str())) answer.error = ErrnoOr(EIO);
        break;
    }
    const int error = answer.error;
    if (error != 0 && !IsAboutPath(error)) return {Outcome::kBroken, error};
    result.answers.push_back(std::move(answer));
    if (GivenUp()) break;
  }
  return result;
}

bool XenstoreLink::Watch(const Libxenstore& library, xs_handle* handle, const std::string& path) {
  if (!listener_.joinable()) {
    const SignalsBlocked blocked;
    try {
      std::lock_guard<std::mutex> lock(mutex_);
      listener_ = std::thread([this, &library, handle] { Listen(library, handle); });
    } catch (const std::system_error&) {
      errno = EAGAIN;
      return false;
    }
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    unheard_.insert(path);
  }
  return library.watch(handle, path.c_str(), path.c_str());
}

void XenstoreLink::Listen(const Libxenstore& library, xs_handle* handle) {
  for (;;) {
    unsigned count = 0;
    const std::unique_ptr<char*, decltype(&free)> event(library.read_watch(handle, &count), free);
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    if (event == nullptr || count <= XS_WATCH_TOKEN) {
      listening_failed_ = true;
      if (notify_) notify_();
      return;
    }
    if (unheard_.erase(event.get()[XS_WATCH_TOKEN]) > 0) continue;
    paths_changed_.insert(Shorten(event.get()[XS_WATCH_PATH], kPathParts));
    if (notify_) notify_();
  }
}

bool XenstoreLink::GivenUp() {
  std::lock_guard<std::mutex> lock(mutex_);
  return stopping_;
}

void StoppedLinks::Add(std::shared_ptr<XenstoreLink> link) { links_.push_back(std::move(link)); }

bool StoppedLinks::HasRoom(const Deadline& deadline) {
  const Deadline now(0);
  links_.erase(std::remove_if(links_.begin(), links_.end(),
                              [&now](const auto& link) { return link->EndsBefore(now); }),
               links_.end());
  return links_.size() < kMaxStopped || links_.front()->EndsBefore(deadline);
}

}  // namespace xen_block_stats
