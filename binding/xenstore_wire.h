#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace xen_block_stats {

// A connection to xenstored and its protocol (docs/misc/xenstore.txt of Xen), over the daemon's
// socket or the kernel's device. Nothing that comes is believed: it is right, or the connection is
// broken. It waits only where its owner lets it. For one thread.
class XenstoreWire {
 public:
  enum class Type : uint32_t {
    kDirectory = 1,
    kRead = 2,
    kWatch = 4,
    kUnwatch = 5,
    kWatchEvent = 15,
    kError = 16,
    kDirectoryPart = 22,
  };

  // What came of a request: the payload of its answer, or xenstored's error about it (an errno), or
  // why the connection is of no more use (an errno).
  struct Reply {
    int broken = 0;
    int error = 0;
    std::string payload = {};
  };

  struct Event {
    std::string path;
    std::string token;
  };

  // Waits until there is one of these events (POLLIN, POLLOUT) at a descriptor, or, if that is
  // negative, a moment. Returns 0, or an errno if it is no use to wait on.
  using Wait = std::function<int(int descriptor, short events)>;

  explicit XenstoreWire(Wait wait);
  ~XenstoreWire();
  XenstoreWire(const XenstoreWire&) = delete;
  XenstoreWire& operator=(const XenstoreWire&) = delete;

  // Where to connect to: the socket of the daemon, as the tools of Xen look for it, or, where there
  // is none, the device.
  static std::string DefaultPath();

  // Returns 0 or an errno.
  int Connect(const std::string& path);

  // Makes a request, and waits for its answer. Strings end with a NUL.
  Reply Ask(Type type, const std::string& payload);

  // The names of a node's children, each ended by a NUL.
  Reply List(const std::string& path);

  // Takes in what has come. Returns 0, or an errno when the connection is broken.
  int Receive();

  // The events that have come.
  std::vector<Event> TakeEvents();

  // Negative when there is no connection, or no more.
  int descriptor() const { return descriptor_; }

 private:
  struct Header {
    uint32_t type;
    uint32_t request;
    uint32_t transaction;
    uint32_t length;
  };

  int ConnectSocket(const std::string& path);
  int Send(const std::string& message);
  int ReceiveAnswer(Header* header, std::string* payload);
  int ReceiveBytes();
  bool TakeMessage(Header* header, std::string* payload, int* error);
  bool OnlyEventsFollow() const;
  int TakeEvent(const std::string& payload);
  Reply Break(int error);

  Wait wait_;
  int descriptor_ = -1;
  bool is_socket_ = false;
  uint32_t last_request_ = 0;
  std::string unread_;
  std::vector<Event> events_;
};

}  // namespace xen_block_stats
