#include "hostile_xenstored.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "require.h"

HostileXenstored::HostileXenstored() {
  folder_ = std::filesystem::temp_directory_path() / "hostile-XXXXXX";
  Require(mkdtemp(folder_.data()) != nullptr, "a temporary folder can be made");
  socket_ = folder_ + "/socket";

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Require(socket_.size() < sizeof(address.sun_path), "the socket's path is short enough");
  std::strcpy(address.sun_path, socket_.c_str());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool listening =
      bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(listener_, 16) == 0;
  Require(listening, "a socket can be listened on");

  wake_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { Run(); });
}

HostileXenstored::~HostileXenstored() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  HangUp();
  thread_.join();
  close(wake_);
  close(listener_);
  std::filesystem::remove_all(folder_);
}

void HostileXenstored::Play(const Script& script) {
  std::lock_guard<std::mutex> lock(mutex_);
  script_ = script;
  line_ = 0;
  sent_.clear();
  honest_ = false;
}

void HostileXenstored::BeHonest() {
  std::lock_guard<std::mutex> lock(mutex_);
  honest_ = true;
}

void HostileXenstored::HangUp() {
  std::unique_lock<std::mutex> lock(mutex_);
  hanging_up_ = true;
  eventfd_write(wake_, 1);
  changed_.wait(lock, [this] { return !hanging_up_; });
}

std::string HostileXenstored::Sent() {
  std::lock_guard<std::mutex> lock(mutex_);
  return sent_;
}

void HostileXenstored::Run() {
  for (;;) {
    std::vector<pollfd> polled = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Connection& connection : connections_) {
      // of one that it is silent to, it hears nothing but the end
      const short events = connection.silent ? 0 : POLLIN;
      polled.push_back({connection.descriptor, events, 0});
    }
    poll(polled.data(), polled.size(), -1);

    auto connection = connections_.begin();
    for (size_t i = 2; i < polled.size(); ++i) {
      const bool ended = connection->silent && (polled[i].revents & POLLHUP) != 0;
      const bool goes_on = !ended && ((polled[i].revents & POLLIN) == 0 || Hear(&*connection));
      if (!goes_on) close(connection->descriptor);
      connection = goes_on ? std::next(connection) : connections_.erase(connection);
    }
    for (int accepted; (accepted = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      connections_.push_back({accepted, ""});
    }

    if (polled[0].revents == 0) continue;
    eventfd_t count;
    eventfd_read(wake_, &count);
    for (const Connection& it : connections_) close(it.descriptor);
    connections_.clear();
    std::lock_guard<std::mutex> lock(mutex_);
    hanging_up_ = false;
    changed_.notify_all();
    if (ending_) return;
  }
}

bool HostileXenstored::Hear(Connection* connection) {
  char bytes[kHeaderSize + kMaxPayload];
  const ssize_t count = recv(connection->descriptor, bytes, sizeof(bytes), 0);
  if (count <= 0) return false;
  connection->unread.append(bytes, static_cast<size_t>(count));
  while (connection->unread.size() >= kHeaderSize) {
    Header header;
    std::memcpy(&header, connection->unread.data(), sizeof(header));
    Require(header.length <= kMaxPayload, "a request is as the protocol wants it");
    if (connection->unread.size() < kHeaderSize + header.length) break;
    const Request request{header.type, header.request_id,
                          connection->unread.substr(kHeaderSize, header.length)};
    connection->unread.erase(0, kHeaderSize + header.length);

    std::unique_lock<std::mutex> lock(mutex_);
    const Reply reply = honest_ ? HonestReply(request) : script_.ReplyTo(request, line_);
    line_ += reply.lines;
    sent_ += reply.bytes;
    lock.unlock();
    if (!Send(connection, reply)) return false;
  }
  return true;
}

bool HostileXenstored::Send(Connection* connection, const Reply& reply) {
  // first, so that no request can come in between
  if (reply.then == Reply::Then::kHangUp) shutdown(connection->descriptor, SHUT_RD);
  const size_t step = reply.one_by_one ? 1 : reply.bytes.size();
  for (size_t sent = 0; sent < reply.bytes.size(); sent += step) {
    if (send(connection->descriptor, &reply.bytes[sent], step, MSG_NOSIGNAL) < 0) return false;
  }
  connection->silent = reply.then == Reply::Then::kFallSilent;
  return reply.then != Reply::Then::kHangUp;
}
