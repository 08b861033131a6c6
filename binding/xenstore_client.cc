#include "xenstore_client.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "glibc_compat.h"
#include "libxenstore.h"
#include "thread.h"

namespace xen_block_stats {
namespace {

// Threads of this process that are stuck in libxenstore and have no client any more.
std::atomic<int> abandoned_threads{0};
// While this many threads are abandoned, no new connection is made.
constexpr int kMaxAbandonedThreads = 4;

// How long the JavaScript thread waits for an idle thread to end, in milliseconds. It does so at
// once, unless the machine is very busy.
constexpr double kEndMs = 50;

// How long Post() waits for the connection to a given socket, in milliseconds: see SocketVariable.
constexpr double kPostOpenMs = 100;

// How often a watching thread checks that its connection is still there, in milliseconds: the
// descriptor of xs_fileno() does not tell.
constexpr int kCheckMs = 1000;

// The error of a lost connection is EINVAL or EBADF where libxenstore noticed it before.
int ConnectionError(int error) {
  return error == 0 || error == EINVAL || error == EBADF ? ECONNRESET : error;
}

// The errors of xenstored that are about a path; any other one means that the connection is lost.
bool IsAboutPath(int error) {
  return error == ENOENT || error == EACCES || error == EPERM || error == EEXIST;
}

std::string Shorten(const std::string& path, int names) {
  size_t end = 0;
  for (int i = 0; i < names && end != std::string::npos; ++i) end = path.find('/', end + 1);
  return path.substr(0, end);
}

// libxenstore is told which socket to use by the environment only. A connection to a given socket
// sets the variable XENSTORED_PATH on the JavaScript thread for as long as libxenstore opens it,
// which xs_open does without waiting for xenstored (but for one that hangs and has others waiting).
// The connections that use the default must not see it: they hold this lock shared.
pthread_rwlock_t socket_variable = PTHREAD_RWLOCK_INITIALIZER;

class SocketVariable {
 public:
  static constexpr const char* kName = "XENSTORED_PATH";

  // Sets the variable, unless the lock cannot be had within this time.
  SocketVariable(const std::string& socket, double milliseconds) {
    timespec until;  // on the one clock that this function knows
    clock_gettime(CLOCK_REALTIME, &until);
    until = Deadline(until, milliseconds).time;
    is_set_ = pthread_rwlock_timedwrlock(&socket_variable, &until) == 0;
    if (!is_set_) return;
    if (const char* before = getenv(kName)) before_ = before;
    setenv(kName, socket.c_str(), 1);
  }
  ~SocketVariable() {
    if (!is_set_) return;
    if (before_.has_value()) {
      setenv(kName, before_->c_str(), 1);
    } else {
      unsetenv(kName);
    }
    pthread_rwlock_unlock(&socket_variable);
  }
  SocketVariable(const SocketVariable&) = delete;
  SocketVariable& operator=(const SocketVariable&) = delete;

  bool is_set() const { return is_set_; }

 private:
  bool is_set_;
  std::optional<std::string> before_;
};

}  // namespace

// One connection and its thread. It is used until it is lost, and ends then.
class XenstoreClient::Session {
 public:
  // Starts the thread, which connects. Null, with errno, if there is no thread or descriptor.
  static std::shared_ptr<Session> Start(const Libxenstore& library, bool is_default,
                                        std::function<void()> notify);

  Session(const Libxenstore& library, bool is_default, std::function<void()> notify)
      : library_(library), is_default_(is_default), watches_(notify), notify_(std::move(notify)) {}
  ~Session() {
    if (wake_ >= 0) close(wake_);
  }

  // Whether libxenstore has opened the connection, or failed to, before the deadline.
  bool WaitUntilOpened(const Deadline& deadline);
  // Whether a request is still unanswered.
  bool IsBusy();
  bool HasEnded();

  Response Request(Operation operation, std::vector<std::string> paths, const Deadline& deadline);
  void Post(Operation operation, std::vector<std::string> paths);
  Events Take();
  // Has the thread end, and does not wait for it if it is in libxenstore. No more notifications.
  void Stop();

 private:
  void Submit(Operation operation, std::vector<std::string> paths, bool is_posted);
  void EndRequest();
  void Wake();

  // On the session's thread.
  void Run();
  int Open();
  bool IsStopping();
  Response RequestAll(Operation operation, const std::vector<std::string>& paths);
  int RequestOne(Operation operation, const std::string& path, Answer* answer);
  int DrainEvents();
  void WaitForWork(int watch_descriptor);

  const Libxenstore& library_;
  const bool is_default_;  // no socket was given
  const bool watches_;
  int wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);  // what interrupts the thread's poll

  std::mutex mutex_;  // guards all down to pending_
  Condition changed_;
  std::function<void()> notify_;
  bool is_opened_ = false;
  bool is_stopping_ = false;
  bool is_abandoned_ = false;
  bool has_ended_ = false;
  // The request that is unanswered; the caller may have given it up.
  bool is_requested_ = false;
  bool is_posted_ = false;
  bool is_cancelled_ = false;
  Operation operation_ = Operation::kRead;
  std::vector<std::string> paths_;
  std::optional<Response> response_;
  Response end_;
  Events pending_;

  // The thread's own. Requests on a watched handle take twice as long, and when the connection is
  // lost in one libxenstore may close its descriptor twice: watches have a handle of their own.
  xs_handle* requests_ = nullptr;
  xs_handle* watching_ = nullptr;
  std::set<std::string>
      awaiting_first_event_;  // every watch begins with an event that says nothing
};

XenstoreClient::XenstoreClient(std::string socket, std::function<void()> notify)
    : socket_(std::move(socket)), notify_(std::move(notify)) {}

XenstoreClient::~XenstoreClient() {
  if (session_) session_->Stop();
}

XenstoreClient::Response XenstoreClient::Request(Operation operation,
                                                 const std::vector<std::string>& paths,
                                                 const Deadline& deadline) {
  for (bool is_retry = false;; is_retry = true) {
    if (const auto failure = Open(deadline)) return *failure;
    Response response = session_->Request(operation, paths, deadline);
    if (response.outcome != Outcome::kBroken || is_retry) return response;
  }
}

void XenstoreClient::Post(Operation operation, std::vector<std::string> paths) {
  untaken_.response = Open(Deadline(kPostOpenMs));
  if (untaken_.response.has_value()) {
    notify_();
  } else {
    session_->Post(operation, std::move(paths));
  }
}

XenstoreClient::Events XenstoreClient::Take() {
  Events events = std::exchange(untaken_, Events{});
  if (!session_) return events;
  Events more = session_->Take();
  if (more.response.has_value()) events.response = std::move(more.response);
  events.changed.merge(more.changed);
  events.lost = events.lost || more.lost;
  return events;
}

bool XenstoreClient::GiveUp() {
  const bool is_stuck = given_up_ && !given_up_->HasEnded();
  if (is_stuck || !session_ || !session_->IsBusy()) return false;
  session_->Stop();
  given_up_ = std::move(session_);
  return true;
}

// Makes a connection if there is none. Why not, if there is none then or it is busy.
std::optional<XenstoreClient::Response> XenstoreClient::Open(const Deadline& deadline) {
  const Response timed_out{Outcome::kTimedOut, ETIMEDOUT};
  if (session_ && session_->HasEnded()) {
    // The caller has to be told of what was lost, also if it is faster with its next request.
    untaken_ = Take();
    untaken_.response.reset();
    session_.reset();
  }
  if (session_) {
    if (session_->IsBusy()) return timed_out;
    return std::nullopt;
  }
  const Libxenstore* library = Libxenstore::Load();
  if (library == nullptr) {
    const bool is_full = errno == EMFILE || errno == ENFILE;
    return is_full ? Response{Outcome::kConnectFailed, errno} : Response{Outcome::kNoLibrary, 0};
  }
  if (abandoned_threads >= kMaxAbandonedThreads) return timed_out;

  std::optional<SocketVariable> variable;
  if (!socket_.empty()) {
    variable.emplace(socket_, deadline.MillisecondsLeft());
    if (!variable->is_set()) return timed_out;
  }
  session_ = Session::Start(*library, socket_.empty(), notify_);
  if (!session_) return Response{Outcome::kConnectFailed, errno};
  if (variable.has_value() && !session_->WaitUntilOpened(deadline)) {
    // When it gets through, it may read the variable once more: it is not used then.
    session_->Stop();
    return timed_out;
  }
  return std::nullopt;
}

std::shared_ptr<XenstoreClient::Session> XenstoreClient::Session::Start(
    const Libxenstore& library, bool is_default, std::function<void()> notify) {
  auto session = std::make_shared<Session>(library, is_default, std::move(notify));
  if (session->wake_ < 0) return nullptr;
  return StartThread([session] { session->Run(); }) ? session : nullptr;
}

bool XenstoreClient::Session::WaitUntilOpened(const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.WaitUntil(lock, deadline, [this] { return is_opened_; });
}

bool XenstoreClient::Session::IsBusy() {
  std::lock_guard<std::mutex> lock(mutex_);
  return is_requested_ || is_stopping_;
}

bool XenstoreClient::Session::IsStopping() {
  std::lock_guard<std::mutex> lock(mutex_);
  return is_stopping_;
}

bool XenstoreClient::Session::HasEnded() {
  std::lock_guard<std::mutex> lock(mutex_);
  return has_ended_;
}

XenstoreClient::Response XenstoreClient::Session::Request(Operation operation,
                                                          std::vector<std::string> paths,
                                                          const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  Submit(operation, std::move(paths), false);
  if (changed_.WaitUntil(lock, deadline, [this] { return !is_requested_; })) {
    return *std::exchange(response_, std::nullopt);
  }
  is_cancelled_ = true;
  return {Outcome::kTimedOut, ETIMEDOUT};
}

void XenstoreClient::Session::Post(Operation operation, std::vector<std::string> paths) {
  std::lock_guard<std::mutex> lock(mutex_);
  Submit(operation, std::move(paths), true);
}

void XenstoreClient::Session::Submit(Operation operation, std::vector<std::string> paths,
                                     bool is_posted) {
  operation_ = operation;
  paths_ = std::move(paths);
  is_requested_ = true;
  is_posted_ = is_posted;
  is_cancelled_ = false;
  response_.reset();
  if (has_ended_) {
    EndRequest();
  } else {
    Wake();
  }
}

XenstoreClient::Events XenstoreClient::Session::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (is_posted_ && !is_requested_) {
    pending_.response = std::exchange(response_, std::nullopt);
    is_posted_ = false;
  }
  return std::exchange(pending_, Events{});
}

void XenstoreClient::Session::Stop() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (has_ended_ || is_stopping_) return;
  is_stopping_ = true;
  notify_ = nullptr;
  Wake();
  // An idle thread ends at once, and then its descriptors are closed when this returns.
  const bool is_idle = is_opened_ && !is_requested_;
  const auto has_ended = [this] { return has_ended_; };
  if (is_idle && changed_.WaitUntil(lock, Deadline(kEndMs), has_ended)) return;
  is_abandoned_ = true;
  ++abandoned_threads;
}

// Answers an unanswered request with what ended the session.
void XenstoreClient::Session::EndRequest() {
  if (is_requested_) response_ = end_;
  is_requested_ = false;
  changed_.Notify();
  if (notify_) notify_();
}

void XenstoreClient::Session::Wake() {
  constexpr uint64_t kOnce = 1;
  // It fails only when the thread has been woken very often already.
  if (write(wake_, &kOnce, sizeof(kOnce)) < 0) return;
}

void XenstoreClient::Session::Run() {
  int error = Open();
  const Outcome failure = error == 0 ? Outcome::kBroken : Outcome::kConnectFailed;
  const int watch_descriptor = watching_ == nullptr ? -1 : library_.fileno(watching_);

  std::unique_lock<std::mutex> lock(mutex_);
  is_opened_ = true;
  changed_.Notify();
  while (error == 0 && !is_stopping_) {
    if (is_requested_) {
      const Operation operation = operation_;
      const std::vector<std::string> paths = std::move(paths_);
      lock.unlock();
      Response response = RequestAll(operation, paths);
      lock.lock();
      if (response.outcome == Outcome::kBroken) {
        error = response.error;
        break;
      }
      response_ = std::move(response);
      is_requested_ = false;
      changed_.Notify();
      if (is_posted_ && notify_) notify_();
    } else {
      lock.unlock();
      WaitForWork(watch_descriptor);
      lock.lock();
    }
    if (watching_ == nullptr) continue;
    lock.unlock();
    error = DrainEvents();
    lock.lock();
  }
  lock.unlock();
  library_.close(watching_);
  library_.close(requests_);

  lock.lock();
  close(std::exchange(wake_, -1));
  has_ended_ = true;
  end_ = {failure, error};
  pending_.lost = true;
  if (is_abandoned_) --abandoned_threads;
  EndRequest();
}

int XenstoreClient::Session::Open() {
  if (is_default_) pthread_rwlock_rdlock(&socket_variable);
  errno = 0;
  requests_ = library_.open_readonly();
  // A given socket is not in the environment any more when the caller has given up.
  if (requests_ != nullptr && watches_ && !IsStopping()) watching_ = library_.open_readonly();
  const int error = errno;
  if (is_default_) pthread_rwlock_unlock(&socket_variable);
  if (requests_ != nullptr && (watching_ != nullptr || !watches_)) return 0;
  return error == 0 ? ECONNREFUSED : error;
}

XenstoreClient::Response XenstoreClient::Session::RequestAll(
    Operation operation, const std::vector<std::string>& paths) {
  Response response;
  response.answers.resize(paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    Answer& answer = response.answers[i];
    answer.error = RequestOne(operation, paths[i], &answer);
    if (answer.error != 0 && !IsAboutPath(answer.error)) {
      return {Outcome::kBroken, ConnectionError(answer.error)};
    }
    std::lock_guard<std::mutex> lock(mutex_);
    if (is_stopping_ || is_cancelled_) break;
  }
  return response;
}

// Returns an errno, and 0 if it was answered.
int XenstoreClient::Session::RequestOne(Operation operation, const std::string& path,
                                        Answer* answer) {
  errno = 0;
  switch (operation) {
    case Operation::kRead: {
      unsigned length = 0;
      auto* value = static_cast<char*>(library_.read(requests_, XBT_NULL, path.c_str(), &length));
      if (value == nullptr) break;
      answer->strings.emplace_back(value, length);
      free(value);
      return 0;
    }
    case Operation::kDirectory: {
      unsigned count = 0;
      char** names = library_.directory(requests_, XBT_NULL, path.c_str(), &count);
      if (names == nullptr) break;
      answer->strings.assign(names, names + count);
      free(names);
      return 0;
    }
    case Operation::kWatch: {
      if (const int error = DrainEvents()) return error;
      // The token of a watch is its path.
      awaiting_first_event_.insert(path);
      errno = 0;
      if (library_.watch(watching_, path.c_str(), path.c_str())) return 0;
      awaiting_first_event_.erase(path);
      break;
    }
    case Operation::kUnwatch:
      if (library_.unwatch(watching_, path.c_str(), path.c_str())) return 0;
      break;
  }
  return errno == 0 ? ECONNRESET : errno;
}

// Takes the watch events that have come. Returns an errno if the connection is lost. libxenstore is
// called without the mutex, as everywhere: after a connection was lost it may not return.
int XenstoreClient::Session::DrainEvents() {
  std::set<std::string> changed;
  errno = 0;
  while (char** event = library_.check_watch(watching_)) {
    if (awaiting_first_event_.erase(event[XS_WATCH_TOKEN]) == 0) {
      changed.insert(Shorten(event[XS_WATCH_PATH], kPathNames));
    }
    free(event);
    errno = 0;
  }
  const int error = errno == EAGAIN ? 0 : ConnectionError(errno);
  if (changed.empty()) return error;
  std::lock_guard<std::mutex> lock(mutex_);
  pending_.changed.merge(changed);
  if (notify_) notify_();
  return error;
}

void XenstoreClient::Session::WaitForWork(int watch_descriptor) {
  pollfd waiting[] = {{wake_, POLLIN, 0}, {watch_descriptor, POLLIN, 0}};
  uint64_t times;
  if (poll(waiting, 2, watches_ ? kCheckMs : -1) > 0 && waiting[0].revents != 0 &&
      read(wake_, &times, sizeof(times)) < 0) {
    return;
  }
}

}  // namespace xen_block_stats
