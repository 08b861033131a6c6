#include "script.h"

#include <algorithm>
#include <cctype>

namespace {

constexpr size_t kMostReplies = 16;

// So much is sure to be read at once.
constexpr size_t kMostAtOnce = 3 * kMaxPayload;

// Takes the first character; = when there is none.
char Take(std::string_view* text) {
  if (text->empty()) return '=';
  const char character = text->front();
  text->remove_prefix(1);
  return character;
}

uint32_t Number(char character) { return static_cast<unsigned char>(character); }

uint32_t Type(char character, uint32_t asked) {
  switch (character) {
    case '=':
      return asked;
    case 'e':
      return kError;
    case 'w':
      return kWatchEvent;
    case 'p':
      return kDirectoryPart;
    case 'X':
      return 0xffff;
    default:
      return Number(character);
  }
}

uint32_t Length(char character, size_t size) {
  switch (character) {
    case '=':
      return static_cast<uint32_t>(size);
    case '+':
      return static_cast<uint32_t>(size + 1);
    case '-':
      return static_cast<uint32_t>(size - 1);
    case 'm':
      return kMaxPayload;
    case 'M':
      return kMaxPayload + 1;
    case 'F':
      return 0xffffffff;
    default:
      return std::isdigit(Number(character)) ? Number(character) - '0' : Number(character);
  }
}

std::string Payload(std::string_view text) {
  std::string payload;
  while (!text.empty()) {
    const char character = Take(&text);
    if (character == '*' && !payload.empty()) {
      payload.resize(std::max<size_t>(payload.size(), kMaxPayload), payload.back());
    } else if (character == '^') {
      payload += static_cast<char>(Take(&text) & 31);
    } else {
      payload += character == '|' ? '\0' : character;
    }
  }
  return payload;
}

std::string Message(const Header& header, const std::string& payload) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
}

Reply Deliver(char how, const std::string& bytes) {
  const std::string half = bytes.substr(0, bytes.size() / 2);
  switch (how) {
    case 't':
      return {bytes, Reply::Then::kListen, true};
    case 'x':
      return {bytes, Reply::Then::kHangUp};
    case 'z':
      return {bytes, Reply::Then::kFallSilent};
    case 'c':
      return {half, Reply::Then::kHangUp};
    case 's':
      return {half, Reply::Then::kFallSilent};
    case 'k':
      return {"", Reply::Then::kHangUp};
    case 'n':
      return {"", Reply::Then::kFallSilent};
    default:
      return {bytes, Reply::Then::kListen};
  }
}

}  // namespace

Script::Script(std::string_view text) {
  std::string_view question = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), question.size() + 1));
  directory_ = Take(&question) == 'd';
  for (unsigned i = 0; i <= (Number(Take(&question)) + 3) % 4; ++i) {
    paths_.push_back("/path/" + std::to_string(i));
  }
  while (!text.empty() && replies_.size() < kMostReplies) {
    replies_.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), replies_.back().size() + 1));
  }
}

Reply Script::ReplyTo(const Request& request, size_t line) const {
  if (line >= replies_.size()) return HonestReply(request);
  std::string_view text = replies_[line];
  Header header{};
  header.type = Type(Take(&text), request.type);
  const char id = Take(&text);
  header.request_id = id == '=' ? request.id : Number(id);
  const char length = Take(&text);
  const char how = Take(&text);
  const std::string payload = Payload(text);
  header.length = Length(length, payload.size());
  const std::string message = Message(header, payload);
  // Where a message does not end where it says, what is seen of it byte by byte is a matter of
  // time.
  if (how == 't' && header.length != payload.size()) return Deliver('=', message);
  if (how != '&') return Deliver(how, message);
  Reply reply = ReplyTo(request, line + 1);
  if (reply.bytes.size() + message.size() > kMostAtOnce) return Deliver('=', message);
  reply.bytes.insert(0, message);
  reply.one_by_one = false;
  ++reply.lines;
  return reply;
}

Reply HonestReply(const Request& request) {
  const auto message = [&request](uint32_t type, const std::string& payload) {
    return Message({type, request.id, 0, static_cast<uint32_t>(payload.size())}, payload);
  };
  constexpr std::string_view kName("honest\0", 7), kPart("1\0honest\0\0", 10), kOk("OK\0", 3);
  switch (request.type) {
    case kDirectory:
      return {message(kDirectory, std::string(kName))};
    case kDirectoryPart:
      return {message(kDirectoryPart, std::string(kPart))};
    case kWatch:
      // its path and its token, as they were asked for
      return {message(kWatch, std::string(kOk)) + message(kWatchEvent, request.payload)};
    case kUnwatch:
      return {message(kUnwatch, std::string(kOk))};
    default:
      return {message(request.type, "honest")};
  }
}
