#include "xenstore_session.h"

#include <poll.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "socket_variable.h"
#include "thread.h"

namespace xen_block_stats {
namespace {

// The number of abandoned threads of this process: they are stuck in libxenstore, and their client
// does not use them any more.
std::atomic<int> abandoned_threads{0};
// While this many threads are abandoned, no new connection is made.
constexpr int kMaxAbandonedThreads = 4;

// How long the JavaScript thread waits for an idle thread to end, in milliseconds. An idle thread
// ends at once, unless the machine is very busy.
constexpr double kEndMs = 50;

// The interval at which a watching thread checks its connection, in milliseconds. The descriptor of
// xs_fileno() does not become readable when the connection is lost.
constexpr int kCheckMs = 1000;

// Returns the errno of a lost connection. libxenstore gives EINVAL or EBADF if it has noticed the
// loss before.
int ConnectionError(int error) {
  return error == 0 || error == EINVAL || error == EBADF ? ECONNRESET : error;
}

// Returns whether an errno is xenstored's response about a path. Any other errno is treated as a
// lost connection.
bool IsAboutPath(int error) { return error == ENOENT || error == EACCES || error == EPERM; }

// Returns the errno of a call of libxenstore that has failed. It does not always set it.
int LastError() { return errno == 0 ? ECONNRESET : errno; }

// Splits a text at a separator.
std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char it : text) {
    if (it == separator) {
      parts.emplace_back();
    } else {
      parts.back() += it;
    }
  }
  return parts;
}

// Returns the first names of a path.
std::string Shorten(const std::string& path, int names) {
  size_t end = 0;
  for (int i = 0; i < names && end != std::string::npos; ++i) end = path.find('/', end + 1);
  return path.substr(0, end);
}

}  // namespace

bool XenstoreClient::Session::CanStart() { return abandoned_threads < kMaxAbandonedThreads; }

std::shared_ptr<XenstoreClient::Session> XenstoreClient::Session::Start(
    const Libxenstore& library, bool is_default, bool has_watches,
    std::shared_ptr<std::atomic<uint32_t>> changes, std::function<void()> notify) {
  auto session = std::make_shared<Session>(library, is_default, has_watches, std::move(changes),
                                           std::move(notify));
  if (session->wake_ < 0) return nullptr;
  return StartThread([session] { session->Run(); }) ? session : nullptr;
}

bool XenstoreClient::Session::WaitUntilOpened(const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.WaitUntil(lock, deadline, [this] { return is_opened_; });
}

int XenstoreClient::Session::OpenError() {
  std::lock_guard<std::mutex> lock(mutex_);
  return open_error_;
}

bool XenstoreClient::Session::IsBusy() {
  std::lock_guard<std::mutex> lock(mutex_);
  return is_unanswered_ || is_stopping_;
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
  if (changed_.WaitUntil(lock, deadline, [this] { return !is_unanswered_; })) {
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
  is_unanswered_ = true;
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
  if (is_posted_ && !is_unanswered_) {
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
  // An idle thread ends at once: waiting for it closes its descriptors before this returns.
  const bool is_idle = is_opened_ && !is_unanswered_;
  const auto has_ended = [this] { return has_ended_; };
  if (is_idle && changed_.WaitUntil(lock, Deadline(kEndMs), has_ended)) return;
  is_abandoned_ = true;
  ++abandoned_threads;
}

void XenstoreClient::Session::EndRequest() {
  if (is_unanswered_) response_ = end_;
  is_unanswered_ = false;
  changed_.Notify();
  if (notify_) notify_();
}

void XenstoreClient::Session::Wake() {
  constexpr uint64_t kOnce = 1;
  // Fails only when the eventfd is full, which wakes the thread, too. The result is looked at
  // because of warn_unused_result.
  if (write(wake_, &kOnce, sizeof(kOnce)) < 0) return;
}

void XenstoreClient::Session::Run() {
  int error = Open();
  const Outcome failure = error == 0 ? Outcome::kBroken : Outcome::kConnectFailed;

  std::unique_lock<std::mutex> lock(mutex_);
  is_opened_ = true;
  open_error_ = error;
  changed_.Notify();
  while (error == 0 && !is_stopping_) {
    if (is_unanswered_) {
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
      is_unanswered_ = false;
      if (is_posted_ && notify_) notify_();
      lock.unlock();
      changed_.Notify();  // without the mutex, which the thread that is woken needs at once
      lock.lock();
    } else {
      lock.unlock();
      WaitForWork();
      lock.lock();
    }
    if (watch_handle_ == nullptr) continue;
    lock.unlock();
    error = DrainEvents();
    lock.lock();
  }
  lock.unlock();
  library_.close(watch_handle_);
  library_.close(requests_);

  lock.lock();
  close(std::exchange(wake_, -1));
  has_ended_ = true;
  end_ = {failure, error};
  pending_.lost = true;
  if (!is_stopping_) ++*changes_;
  if (is_abandoned_) --abandoned_threads;
  EndRequest();
}

int XenstoreClient::Session::Open() {
  std::optional<SocketVariableReader> reader;
  if (is_default_) reader.emplace();
  errno = 0;
  requests_ = library_.open_readonly();
  // After Stop() the environment may not have the given socket any more.
  if (requests_ != nullptr && has_watches_ && !IsStopping())
    watch_handle_ = library_.open_readonly();
  const int error = errno;
  reader.reset();
  if (requests_ != nullptr && (watch_handle_ != nullptr || !has_watches_)) return 0;
  return error == 0 ? ECONNREFUSED : error;
}

XenstoreClient::Response XenstoreClient::Session::RequestAll(
    Operation operation, const std::vector<std::string>& paths) {
  Response response;
  response.answers.resize(paths.size());
  for (size_t i = 0; i < paths.size() && !IsCancelled(); ++i) {
    Answer& answer = response.answers[i];
    answer.error = RequestOne(operation, paths[i], &answer);
    if (answer.error != 0 && !IsAboutPath(answer.error)) {
      return {Outcome::kBroken, ConnectionError(answer.error)};
    }
  }
  return response;
}

bool XenstoreClient::Session::IsCancelled() {
  std::lock_guard<std::mutex> lock(mutex_);
  return is_stopping_ || is_cancelled_;
}

int XenstoreClient::Session::RequestOne(Operation operation, const std::string& path,
                                        Answer* answer) {
  switch (operation) {
    case Operation::kRead:
      return Read(path, answer);
    case Operation::kWatch:
      return Watch(path);
    case Operation::kUnwatch:
      if (watched_.erase(path) == 0) return 0;
      errno = 0;
      return library_.unwatch(watch_handle_, path.c_str(), path.c_str()) ? 0 : LastError();
  }
  return 0;
}

int XenstoreClient::Session::Read(const std::string& path, Answer* answer) {
  const size_t start = path.find_first_of("*#{");
  if (start == std::string::npos) return ReadNode(path, answer);
  const bool is_wildcard = path[start] != '{';
  const size_t end = is_wildcard ? start : path.find('}', start);
  const std::string before = path.substr(0, start);
  const std::string after = path.substr(end + 1);
  std::vector<std::string> names;
  if (!is_wildcard) {
    names = Split(path.substr(start + 1, end - start - 1), ',');
  } else if (const int error = List(before.substr(0, start - 1), path[start], &names)) {
    return error;
  }
  answer->is_list = true;
  answer->list.resize(names.size());
  for (size_t i = 0; i < names.size() && !IsCancelled(); ++i) {
    Answer* part = &answer->list[i];
    if (is_wildcard && after.empty()) {
      part->value = names[i];
      continue;
    }
    if (is_wildcard) {
      part->is_list = true;
      part->list = {{0, names[i]}, {}};
      part = &part->list[1];
    }
    part->error = Read(before + names[i] + after, part);
    if (part->error != 0 && !IsAboutPath(part->error)) return part->error;
  }
  return 0;
}

int XenstoreClient::Session::ReadNode(const std::string& path, Answer* answer) {
  unsigned length = 0;
  errno = 0;
  auto* value = static_cast<char*>(library_.read(requests_, XBT_NULL, path.c_str(), &length));
  if (value == nullptr) return LastError();
  answer->value.assign(value, length);
  free(value);
  return 0;
}

int XenstoreClient::Session::List(const std::string& directory, char wildcard,
                                  std::vector<std::string>* names) {
  unsigned count = 0;
  errno = 0;
  char** children = library_.directory(requests_, XBT_NULL, directory.c_str(), &count);
  if (children == nullptr) return LastError();
  for (unsigned i = 0; i < count; ++i) {
    const std::string name = children[i];
    const bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
    if (wildcard == '*' || is_number) names->push_back(name);
  }
  free(children);
  return 0;
}

int XenstoreClient::Session::Watch(const std::string& path) {
  if (watched_.count(path) != 0) return 0;
  // A loss of the connection is noticed here, if possible: libxenstore closes its descriptor twice
  // when it notices it while it watches (test/sanitize/README.md).
  if (const int error = DrainEvents()) return error;
  awaiting_first_event_.insert(path);
  errno = 0;
  if (library_.watch(watch_handle_, path.c_str(), path.c_str())) {
    watched_.insert(path);
    return 0;
  }
  const int error = LastError();
  awaiting_first_event_.erase(path);
  return error;
}

int XenstoreClient::Session::DrainEvents() {
  std::set<std::string> changed;
  errno = 0;
  while (char** event = library_.check_watch(watch_handle_)) {
    if (awaiting_first_event_.erase(event[XS_WATCH_TOKEN]) == 0) {
      ++*changes_;
      changed.insert(Shorten(event[XS_WATCH_PATH], kPathNames));
    }
    free(event);
    errno = 0;
  }
  const int error = errno == EAGAIN ? 0 : ConnectionError(errno);
  if (changed.empty()) return error;
  std::lock_guard<std::mutex> lock(mutex_);
  if (!notify_) return error;  // the client takes no events: it counts them
  pending_.changed.merge(changed);
  notify_();
  return error;
}

void XenstoreClient::Session::WaitForWork() {
  // The first call makes a pipe. It is repeated until the process has descriptors for that.
  const int watch_descriptor = watch_handle_ == nullptr ? -1 : library_.fileno(watch_handle_);
  pollfd waiting[] = {{wake_, POLLIN, 0}, {watch_descriptor, POLLIN, 0}};
  uint64_t times;
  // The result is looked at because of warn_unused_result.
  if (poll(waiting, 2, has_watches_ ? kCheckMs : -1) > 0 && waiting[0].revents != 0 &&
      read(wake_, &times, sizeof(times)) < 0) {
    return;
  }
}

}  // namespace xen_block_stats
