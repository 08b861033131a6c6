#include "xenstore_wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace xen_block_stats {
namespace {

constexpr size_t kMaxPayload = 4096;
// As many names as a folder of all domains can have, and much more.
constexpr size_t kMaxListing = size_t{4} << 20;

struct NamedError {
  const char* name;
  int error;
};

// How xenstored says what is wrong.
constexpr NamedError kErrors[] = {
    {"EINVAL", EINVAL},   {"EACCES", EACCES}, {"EEXIST", EEXIST},       {"EISDIR", EISDIR},
    {"ENOENT", ENOENT},   {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC},       {"EIO", EIO},
    {"ENOSYS", ENOSYS},   {"EROFS", EROFS},   {"ENOTEMPTY", ENOTEMPTY}, {"EBUSY", EBUSY},
    {"EISCONN", EISCONN}, {"E2BIG", E2BIG},   {"EAGAIN", EAGAIN},       {"EPERM", EPERM},
};

// 0 for what is none of them.
int ErrorNamed(const std::string& name) {
  for (const NamedError& it : kErrors) {
    if (name.size() == strlen(it.name) + 1 && name == std::string(it.name, name.size())) {
      return it.error;
    }
  }
  return 0;
}

bool EndsWithNul(const std::string& text) { return !text.empty() && text.back() == '\0'; }

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

XenstoreWire::XenstoreWire(Wait wait) : wait_(std::move(wait)) {}

XenstoreWire::~XenstoreWire() { Break(0); }

std::string XenstoreWire::DefaultPath() {
  std::string path = Environment("XENSTORED_PATH");
  if (!path.empty()) return path;
  path = Environment("XENSTORED_RUNDIR");
  path = (path.empty() ? "/var/run/xenstored" : path) + "/socket";
  for (const char* device : {"/dev/xen/xenbus", "/proc/xen/xenbus"}) {
    if (access(path.c_str(), F_OK) == 0 || errno != ENOENT) return path;
    if (access(device, F_OK) == 0) return device;
  }
  return path;
}

int XenstoreWire::Connect(const std::string& path) {
  // stat is a newer symbol of the C library than Node 20 needs
  struct statx status;
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &status) != 0) return errno;
  is_socket_ = S_ISSOCK(status.stx_mode);
  if (is_socket_) return ConnectSocket(path);
  descriptor_ = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return descriptor_ < 0 ? errno : 0;
}

int XenstoreWire::ConnectSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  memcpy(address.sun_path, path.c_str(), path.size());
  descriptor_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor_ < 0) return errno;
  while (connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    int error = errno;
    // Too many wait to be let in, and it cannot be waited for to be one of them.
    if (error == EAGAIN) error = wait_(-1, 0);
    if (error != 0 && error != EINTR) return Break(error).broken;
  }
  return 0;
}

XenstoreWire::Reply XenstoreWire::Ask(Type type, const std::string& payload) {
  if (descriptor_ < 0) return {EBADF};
  if (payload.size() > kMaxPayload) return {0, E2BIG};
  const Header request = {static_cast<uint32_t>(type), ++last_request_, 0,
                          static_cast<uint32_t>(payload.size())};
  int error = Send(std::string(reinterpret_cast<const char*>(&request), sizeof(request)) + payload);
  Header header;
  Reply reply;
  if (error == 0) error = ReceiveAnswer(&header, &reply.payload);
  if (error != 0) return Break(error);

  // The kernel's device answers some requests itself, and does not number that.
  const bool numbered = header.request == request.request || (!is_socket_ && header.request == 0);
  if (!numbered || !OnlyEventsFollow()) return Break(EPROTO);
  if (header.type == request.type) return reply;
  reply.error = ErrorNamed(reply.payload);
  if (header.type != static_cast<uint32_t>(Type::kError) || reply.error == 0) return Break(EPROTO);
  return reply;
}

XenstoreWire::Reply XenstoreWire::List(const std::string& path) {
  Reply reply = Ask(Type::kDirectory, path + '\0');
  if (reply.broken != 0) return reply;
  if (reply.error == 0) {
    return reply.payload.empty() || EndsWithNul(reply.payload) ? reply : Break(EPROTO);
  }
  if (reply.error != E2BIG) return reply;

  // In parts: each is the folder's generation, and names from an offset in bytes. The last part
  // ends with an empty name; when the folder changes, and with it its generation, all begins again.
  std::string generation, names;
  for (;;) {
    reply = Ask(Type::kDirectoryPart, path + '\0' + std::to_string(names.size()) + '\0');
    if (reply.broken != 0 || reply.error != 0) return reply;
    const size_t length = reply.payload.find('\0');
    if (length == std::string::npos || !EndsWithNul(reply.payload)) return Break(EPROTO);
    if (!names.empty() && reply.payload.compare(0, length, generation) != 0) {
      names.clear();
      continue;
    }
    generation = reply.payload.substr(0, length);
    const std::string part = reply.payload.substr(length + 1);
    // A part without a name would be asked for again and again.
    if (part.empty() || names.size() + part.size() > kMaxListing) return Break(EPROTO);
    names += part;
    if (names.size() == 1 || names[names.size() - 2] == '\0') break;
  }
  names.pop_back();
  return {0, 0, names};
}

int XenstoreWire::Send(const std::string& message) {
  size_t sent = 0;
  while (sent < message.size()) {
    const char* rest = message.data() + sent;
    const size_t size = message.size() - sent;
    const ssize_t count =
        is_socket_ ? send(descriptor_, rest, size, MSG_NOSIGNAL) : write(descriptor_, rest, size);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
      continue;
    }
    int error = errno;
    if (error == EAGAIN) error = wait_(descriptor_, POLLOUT);
    if (error != 0 && error != EINTR) return error;
  }
  return 0;
}

int XenstoreWire::ReceiveAnswer(Header* header, std::string* payload) {
  for (;;) {
    int error = 0;
    while (TakeMessage(header, payload, &error)) {
      if (header->type != static_cast<uint32_t>(Type::kWatchEvent)) return 0;
      error = TakeEvent(*payload);
      if (error != 0) return error;
    }
    if (error == 0) error = wait_(descriptor_, POLLIN);
    if (error == 0) error = ReceiveBytes();
    if (error != 0) return error;
  }
}

int XenstoreWire::Receive() {
  if (descriptor_ < 0) return EBADF;
  int error = ReceiveBytes();
  Header header;
  std::string payload;
  while (error == 0 && TakeMessage(&header, &payload, &error)) {
    // Nothing has been asked, so nothing can be answered.
    const bool event = header.type == static_cast<uint32_t>(Type::kWatchEvent);
    error = event ? TakeEvent(payload) : EPROTO;
  }
  return error == 0 ? 0 : Break(error).broken;
}

int XenstoreWire::ReceiveBytes() {
  char bytes[4 * kMaxPayload];
  const ssize_t count = read(descriptor_, bytes, sizeof(bytes));
  if (count > 0) unread_.append(bytes, static_cast<size_t>(count));
  if (count == 0) return ECONNRESET;
  return count < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
}

// The first message that has come, if all of it has.
bool XenstoreWire::TakeMessage(Header* header, std::string* payload, int* error) {
  if (unread_.size() < sizeof(Header)) return false;
  memcpy(header, unread_.data(), sizeof(Header));
  if (header->length > kMaxPayload) *error = EPROTO;
  if (*error != 0 || unread_.size() < sizeof(Header) + header->length) return false;
  *payload = unread_.substr(sizeof(Header), header->length);
  unread_.erase(0, sizeof(Header) + header->length);
  return true;
}

// Whether what has come after an answer can be right: there is one answer for each request.
bool XenstoreWire::OnlyEventsFollow() const {
  const Type event = Type::kWatchEvent;
  return memcmp(unread_.data(), &event, std::min(unread_.size(), sizeof(event))) == 0;
}

int XenstoreWire::TakeEvent(const std::string& payload) {
  const size_t path = payload.find('\0');
  const size_t token = path == std::string::npos ? path : payload.find('\0', path + 1);
  if (token == std::string::npos) return EPROTO;
  events_.push_back({payload.substr(0, path), payload.substr(path + 1, token - path - 1)});
  return 0;
}

std::vector<XenstoreWire::Event> XenstoreWire::TakeEvents() { return std::exchange(events_, {}); }

XenstoreWire::Reply XenstoreWire::Break(int error) {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
  return {error};
}

}  // namespace xen_block_stats
