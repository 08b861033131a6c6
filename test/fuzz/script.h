#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The types of messages that the wire protocol gives a meaning to here (xen/io/xs_wire.h).
enum MessageType : uint32_t {
  kDirectory = 1,
  kRead = 2,
  kWatch = 4,
  kUnwatch = 5,
  kWatchEvent = 15,
  kError = 16,
  kDirectoryPart = 22,
};

constexpr size_t kHeaderSize = 16;
constexpr uint32_t kMaxPayload = 4096;

// The four numbers in front of every message's payload.
struct Header {
  uint32_t type, request_id, transaction_id, length;
};
static_assert(sizeof(Header) == kHeaderSize);

struct Request {
  uint32_t type, id;
  std::string payload;
};

// One reply of xenstored's: bytes, and what it does after them.
struct Reply {
  enum class Then { kListen, kHangUp, kFallSilent };
  std::string bytes;
  Then then = Then::kListen;
  bool one_by_one = false;
  size_t lines = 1;  // of the script
};

// What is asked, and what a hostile xenstored replies to each request in turn. As text: a line
// with "r" (read) or "d" (directory) and how many paths, and a line for each reply. Any text is a
// script. The characters of a reply are
//
//   1  its type: = as it should be, e an error, w a watch's event, p a part of a directory,
//      X an impossible one, or the character's own number
//   2  its request id: = as it should be, or the character's number
//   3  its length: = as it is, + and - one more and less, m and M 4096 and 4097, F the most that
//      32 bits hold, a digit for so many, or the character's number
//   4  its delivery: t byte by byte, x and then hung up, z and then silent, c and s the first half
//      and then hung up or silent, k nothing and hung up, n nothing and silent, & and at once the
//      next line; else it is whole
//   5  and on: its payload, with | for NUL, ^A for 1 and so on, and * for the byte before it up to
//      4096
//
// After the last line, and once it has been told to, it replies as it should.
class Script {
 public:
  explicit Script(std::string_view text);

  bool directory() const { return directory_; }
  const std::vector<std::string>& paths() const { return paths_; }

  // The reply that begins with this line.
  Reply ReplyTo(const Request& request, size_t line) const;

 private:
  bool directory_ = false;
  std::vector<std::string> paths_;
  std::vector<std::string> replies_;
};

// The reply that a request deserves: in the honest store every node has one child, "honest", and
// that is also its value. A watch begins with its event.
Reply HonestReply(const Request& request);
