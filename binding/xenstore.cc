#include "xenstore.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <xenstore.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "old_systems.h"

namespace xen_block_stats {
namespace {

// A hung xenstored must not collect one thread more with every call.
constexpr size_t kMaxStuck = 4;

// The functions of libxenstore, found at run time.
struct Library {
  decltype(&xs_open) open;
  decltype(&xs_close) close;
  decltype(&xs_read) read;
  decltype(&xs_directory) directory;
};

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

std::optional<Library> LoadLibrary() {
  // Xen 4.16 and later, 4.15 and earlier, and whatever a developer has.
  for (const char* name : {"libxenstore.so.4", "libxenstore.so.3.0", "libxenstore.so"}) {
    void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);  // stays for ever: threads may be in it
    Library library;
    if (handle != nullptr && Find(handle, "xs_open", &library.open) &&
        Find(handle, "xs_close", &library.close) && Find(handle, "xs_read", &library.read) &&
        Find(handle, "xs_directory", &library.directory)) {
      return library;
    }
  }
  return std::nullopt;
}

// libxenstore knows a socket by the environment only, so XENSTORED_PATH is set for the moment of
// the open, and nobody opens at the same moment.
xs_handle* OpenHandle(const Library& library, const std::string& socket) {
  static std::mutex environment;
  std::lock_guard<std::mutex> lock(environment);
  if (socket.empty()) return library.open(XS_OPEN_READONLY);

  constexpr char kVariable[] = "XENSTORED_PATH";
  const char* value = getenv(kVariable);
  const std::optional<std::string> before =
      value == nullptr ? std::nullopt : std::optional<std::string>(value);
  setenv(kVariable, socket.c_str(), 1);
  xs_handle* handle = library.open(XS_OPEN_READONLY);
  const int error = errno;
  if (before.has_value()) {
    setenv(kVariable, before->c_str(), 1);
  } else {
    unsetenv(kVariable);
  }
  errno = error;
  return handle;
}

// The errors that xenstored gives about a path; with any other, it is the connection that failed.
bool IsAboutPath(int error) { return error == ENOENT || error == EACCES || error == EPERM; }

Xenstore::Answer AskOne(const Library& library, xs_handle* handle, Xenstore::Operation operation,
                        const std::string& path) {
  unsigned count = 0;
  errno = 0;
  if (operation == Xenstore::Operation::kRead) {
    const std::unique_ptr<void, decltype(&free)> value(
        library.read(handle, XBT_NULL, path.c_str(), &count), free);
    if (!value) return {errno != 0 ? errno : EIO, {}};
    return {0, {std::string(static_cast<const char*>(value.get()), count)}};
  }
  const std::unique_ptr<char*, decltype(&free)> names(
      library.directory(handle, XBT_NULL, path.c_str(), &count), free);
  if (!names) return {errno != 0 ? errno : EIO, {}};
  return {0, std::vector<std::string>(names.get(), names.get() + count)};
}

// A moment on the clock that nobody sets.
struct Deadline {
  timespec time;

  explicit Deadline(double milliseconds_from_now) {
    clock_gettime(CLOCK_MONOTONIC, &time);
    const double seconds = std::floor(milliseconds_from_now / 1000);
    time.tv_sec += static_cast<time_t>(seconds);
    time.tv_nsec += static_cast<long>((milliseconds_from_now - seconds * 1000) * 1e6);
    if (time.tv_nsec >= 1000000000) {
      time.tv_nsec -= 1000000000;
      time.tv_sec += 1;
    }
  }
};

// std::condition_variable would do, but for waiting on the steady clock it needs glibc 2.30.
class Condition {
 public:
  Condition() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  ~Condition() { pthread_cond_destroy(&condition_); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  void Notify() { pthread_cond_broadcast(&condition_); }

  template <typename Predicate>
  void Wait(std::unique_lock<std::mutex>& lock, Predicate done) {
    while (!done()) pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }

  // Whether it was done before the deadline.
  template <typename Predicate>
  bool WaitUntil(std::unique_lock<std::mutex>& lock, const Deadline& deadline, Predicate done) {
    while (!done()) {
      if (pthread_cond_timedwait(&condition_, lock.mutex()->native_handle(), &deadline.time) != 0) {
        return done();
      }
    }
    return true;
  }

 private:
  pthread_cond_t condition_;
};

}  // namespace

// One connection and its thread. Whoever asked owns a share of it, and so does the thread: if the
// thread is stuck in libxenstore, it lives on until it has come back.
class Xenstore::Link {
 public:
  static std::shared_ptr<Link> Start(const std::string& socket) {
    auto link = std::make_shared<Link>();
    // The thread inherits the mask: signals are for Node's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      link->thread_ = std::thread([link, socket] { link->Run(socket); });
    } catch (const std::system_error&) {
      link.reset();  // no more threads to be had
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return link;
  }

  // Has the thread ask, and waits for it.
  Result Ask(Operation operation, const std::vector<std::string>& paths, const Deadline& deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    operation_ = operation;
    paths_ = paths;
    asked_ = true;
    changed_.Notify();
    if (!changed_.WaitUntil(lock, deadline, [this] { return !asked_; })) {
      return {Outcome::kTimedOut, ETIMEDOUT, {}};
    }
    return std::move(result_);
  }

  // Ends the thread: at once if it is idle, else as soon as it comes back.
  void Stop() {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    const bool idle = !asked_;
    changed_.Notify();
    lock.unlock();
    if (idle) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  bool EndsBefore(const Deadline& deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.WaitUntil(lock, deadline, [this] { return ended_; });
  }

 private:
  void Run(const std::string& socket) {
    static std::mutex loading;
    static std::optional<Library> library;
    {
      std::lock_guard<std::mutex> lock(loading);
      if (!library.has_value()) library = LoadLibrary();
    }
    xs_handle* handle = library.has_value() ? OpenHandle(*library, socket) : nullptr;
    const int open_error = errno;

    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.Wait(lock, [this] { return asked_ || stopping_; });
      if (stopping_) break;
      if (!library.has_value()) {
        result_ = {Outcome::kNoLibrary, 0, {}};
      } else if (handle == nullptr) {
        result_ = {Outcome::kConnectFailed, open_error, {}};
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
    }
    lock.unlock();
    if (handle != nullptr) library->close(handle);
    lock.lock();
    ended_ = true;
    changed_.Notify();
  }

  Result AskAll(const Library& library, xs_handle* handle, Operation operation,
                const std::vector<std::string>& paths) {
    Result result{Outcome::kAnswered, 0, {}};
    result.answers.reserve(paths.size());
    for (const std::string& path : paths) {
      result.answers.push_back(AskOne(library, handle, operation, path));
      const int error = result.answers.back().error;
      if (error != 0 && !IsAboutPath(error)) return {Outcome::kBroken, error, {}};
      if (GivenUp()) break;
    }
    return result;
  }

  bool GivenUp() {
    std::lock_guard<std::mutex> lock(mutex_);
    return stopping_;
  }

  std::thread thread_;
  std::mutex mutex_;
  Condition changed_;
  // All below is guarded by mutex_.
  Operation operation_ = Operation::kRead;
  std::vector<std::string> paths_;
  Result result_{Outcome::kBroken, 0, {}};
  bool asked_ = false;
  bool stopping_ = false;
  bool ended_ = false;
};

Xenstore::Xenstore(std::string socket) : socket_(std::move(socket)) {}

Xenstore::~Xenstore() {
  if (link_) link_->Stop();
}

Xenstore::Result Xenstore::Ask(Operation operation, const std::vector<std::string>& paths,
                               double timeout_ms) {
  const Deadline deadline(timeout_ms);
  const Deadline now(0);
  stuck_.erase(std::remove_if(stuck_.begin(), stuck_.end(),
                              [&now](const auto& link) { return link->EndsBefore(now); }),
               stuck_.end());

  Result result{Outcome::kBroken, 0, {}};
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!link_) {
      if (stuck_.size() >= kMaxStuck && !stuck_.front()->EndsBefore(deadline)) {
        return {Outcome::kTimedOut, ETIMEDOUT, {}};
      }
      link_ = Link::Start(socket_);
      if (!link_) return {Outcome::kConnectFailed, EAGAIN, {}};
    }
    result = link_->Ask(operation, paths, deadline);
    if (result.outcome == Outcome::kAnswered) return result;

    link_->Stop();
    if (result.outcome == Outcome::kTimedOut) stuck_.push_back(link_);
    link_.reset();
    if (result.outcome != Outcome::kBroken) return result;
  }
  return result;
}

}  // namespace xen_block_stats
