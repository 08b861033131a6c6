#include "xenstore_client.h"

#include <cerrno>
#include <utility>

#include "libxenstore.h"
#include "socket_variable.h"
#include "xenstore_session.h"

namespace xen_block_stats {
namespace {

// How long Post() waits for the connection to a given socket, in milliseconds: see SocketVariable.
constexpr double kPostOpenMs = 100;

}  // namespace

XenstoreClient::XenstoreClient(std::string socket, std::function<void()> notify)
    : socket_(std::move(socket)), notify_(std::move(notify)) {}

XenstoreClient::~XenstoreClient() {
  if (session_) session_->Stop();
}

XenstoreClient::Response XenstoreClient::Request(Operation operation,
                                                 const std::vector<std::string>& paths,
                                                 const Deadline& deadline) {
  for (bool is_retry = false;; is_retry = true) {
    if (const auto failure = Open(operation, deadline)) return *failure;
    Response response = session_->Request(operation, paths, deadline);
    if (response.outcome != Outcome::kBroken || is_retry) return response;
  }
}

void XenstoreClient::Post(Operation operation, std::vector<std::string> paths) {
  untaken_.response = Open(operation, Deadline(kPostOpenMs));
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
  ++*changes_;  // the watches of an abandoned session tell nothing
  return true;
}

std::optional<XenstoreClient::Response> XenstoreClient::Open(Operation operation,
                                                             const Deadline& deadline) {
  const Response timed_out{Outcome::kTimedOut, ETIMEDOUT};
  if (session_ && session_->HasEnded()) {
    // Take() has to give the lost connection, also when the next request comes first.
    untaken_ = Take();
    untaken_.response.reset();
    session_.reset();
  }
  // A client that never watches does without a handle for watches. The first watch needs a session
  // that has one; the former session stays if the process has no descriptors for it.
  const bool is_replacement = session_ != nullptr;
  if (is_replacement) {
    if (session_->IsBusy()) return timed_out;
    if (operation != Operation::kWatch || watches_) return std::nullopt;
  }
  const bool watches = watches_ || operation == Operation::kWatch;
  const Libxenstore* library = Libxenstore::Load();
  if (library == nullptr) {
    const bool is_full = errno == EMFILE || errno == ENFILE;
    return is_full ? Response{Outcome::kConnectFailed, errno} : Response{Outcome::kNoLibrary, 0};
  }
  if (!Session::CanStart()) return timed_out;

  std::optional<SocketVariable> variable;
  if (!socket_.empty()) {
    variable.emplace(socket_, deadline.MillisecondsLeft());
    if (!variable->is_set()) return timed_out;
  }
  const auto session = Session::Start(*library, socket_.empty(), watches, changes_, notify_);
  if (!session) return Response{Outcome::kConnectFailed, errno};
  const bool is_opened =
      (!variable.has_value() && !is_replacement) || session->WaitUntilOpened(deadline);
  if (is_replacement) {
    const int error = session->OpenError();
    (error == 0 ? session_ : session)->Stop();
    if (error != 0) return Response{Outcome::kConnectFailed, error};
  }
  session_ = session;
  watches_ = watches;
  if (is_opened) return std::nullopt;
  // The thread may read the variable again later, when it is restored: the session is not used.
  session_->Stop();
  return timed_out;
}

}  // namespace xen_block_stats
