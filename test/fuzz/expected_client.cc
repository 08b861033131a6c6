#include "expected_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace {

using Outcome = ExpectedClient::Outcome;

// The errors that xenstored has, and those of them that are about a path.
constexpr std::pair<const char*, int> kErrors[] = {
    {"EINVAL", EINVAL},   {"EACCES", EACCES}, {"EEXIST", EEXIST},       {"EISDIR", EISDIR},
    {"ENOENT", ENOENT},   {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC},       {"EIO", EIO},
    {"ENOSYS", ENOSYS},   {"EROFS", EROFS},   {"ENOTEMPTY", ENOTEMPTY}, {"EBUSY", EBUSY},
    {"EISCONN", EISCONN}, {"E2BIG", E2BIG},   {"EAGAIN", EAGAIN},       {"EPERM", EPERM},
};

bool IsAboutPath(int error) { return error == ENOENT || error == EACCES || error == EPERM; }

// The error with this name, ended as every string is; 0 if there is none.
int ErrorOf(const std::string& payload) {
  for (const auto& [name, error] : kErrors) {
    if (payload == std::string(name) + '\0') return error;
  }
  return 0;
}

// The strings that each ended with a NUL.
std::vector<std::string> Split(const std::string& payload) {
  std::vector<std::string> strings;
  for (size_t i = 0; i < payload.size(); i += strings.back().size() + 1) {
    strings.emplace_back(payload.c_str() + i);
  }
  return strings;
}

bool Ends(const std::string& payload) { return payload.empty() || payload.back() == '\0'; }

// A path and a token.
bool IsEvent(const std::string& payload) {
  return std::count(payload.begin(), payload.end(), '\0') >= 2;
}

}  // namespace

ExpectedClient::Result ExpectedClient::Ask() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!connected_) {
      connected_ = true;
      hung_up_ = silent_ = false;
      last_id_ = 0;
      unread_.clear();
    }
    std::vector<Answer> answers;
    while (connected_ && answers.size() < script_.paths().size()) {
      const One one = script_.directory() ? Directory() : Read();
      switch (one.outcome) {
        case Outcome::kAnswered:
          answers.push_back(one.answer);
          break;
        case Outcome::kBroken:
          connected_ = false;
          break;
        case Outcome::kTimedOut:
          connected_ = false;
          honest_ = true;
          return {Outcome::kTimedOut, {}};
        case Outcome::kUncertain:
          return {Outcome::kUncertain, {}};
      }
    }
    if (connected_) return {Outcome::kAnswered, answers};
  }
  return {Outcome::kBroken, {}};
}

ExpectedClient::Talk ExpectedClient::Ask(uint32_t type) {
  if (hung_up_) return {Talk::End::kBroken, ""};
  ++last_id_;
  bool one_by_one = false;
  if (!silent_) {
    const Request request{type, last_id_, ""};
    const Reply reply = honest_ ? HonestReply(request) : script_.ReplyTo(request, line_);
    line_ += reply.lines;
    unread_ += reply.bytes;
    one_by_one = reply.one_by_one;
    hung_up_ = reply.then == Reply::Then::kHangUp;
    silent_ = reply.then == Reply::Then::kFallSilent;
  }

  Header header;
  std::string payload;
  do {
    if (unread_.size() >= kHeaderSize) {
      std::memcpy(&header, unread_.data(), sizeof(header));
      if (header.length > kMaxPayload) return {Talk::End::kBroken, ""};
    }
    if (!TakeMessage(&header, &payload)) {
      return {hung_up_ ? Talk::End::kBroken : Talk::End::kBlocked, ""};
    }
    if (header.type == kWatchEvent && !IsEvent(payload)) return {Talk::End::kBroken, ""};
  } while (header.type == kWatchEvent);

  if (header.request_id != last_id_) return {Talk::End::kBroken, ""};
  // Whatever follows is not an answer: there is one for each request.
  if (!unread_.empty()) {
    if (one_by_one || unread_.size() < kHeaderSize) return {Talk::End::kUncertain, ""};
    std::memcpy(&header.length, unread_.data(), sizeof(header.type));
    if (header.length != kWatchEvent) return {Talk::End::kBroken, ""};
    return {Talk::End::kUncertain, ""};
  }
  if (header.type == type) return {Talk::End::kOk, payload};
  const int error = header.type == kError ? ErrorOf(payload) : 0;
  return error == 0 ? Talk{Talk::End::kBroken, ""} : Talk{Talk::End::kError, "", error};
}

bool ExpectedClient::TakeMessage(Header* header, std::string* payload) {
  if (unread_.size() < kHeaderSize) return false;
  std::memcpy(header, unread_.data(), sizeof(*header));
  if (unread_.size() < kHeaderSize + header->length) return false;
  *payload = unread_.substr(kHeaderSize, header->length);
  unread_.erase(0, kHeaderSize + header->length);
  return true;
}

namespace {

// What becomes of a request that gave no payload.
ExpectedClient::Outcome Unanswered(bool blocked, bool uncertain, int error) {
  if (blocked) return Outcome::kTimedOut;
  if (uncertain) return Outcome::kUncertain;
  return IsAboutPath(error) ? Outcome::kAnswered : Outcome::kBroken;
}

}  // namespace

ExpectedClient::One ExpectedClient::Read() {
  const Talk talk = Ask(kRead);
  if (talk.end == Talk::End::kOk) return {Outcome::kAnswered, {0, {talk.payload}}};
  return {
      Unanswered(talk.end == Talk::End::kBlocked, talk.end == Talk::End::kUncertain, talk.error),
      {talk.error, {}}};
}

ExpectedClient::One ExpectedClient::Directory() {
  const Talk talk = Ask(kDirectory);
  if (talk.error == E2BIG) return DirectoryInParts();
  if (talk.end != Talk::End::kOk) {
    return {
        Unanswered(talk.end == Talk::End::kBlocked, talk.end == Talk::End::kUncertain, talk.error),
        {talk.error, {}}};
  }
  if (!Ends(talk.payload)) return {Outcome::kBroken, {}};
  return {Outcome::kAnswered, {0, Split(talk.payload)}};
}

// A part is a generation, which a change of the directory changes, and names; an empty one ends
// them. When the generation changes, all begins again.
ExpectedClient::One ExpectedClient::DirectoryInParts() {
  std::string generation, names;
  for (;;) {
    const Talk talk = Ask(kDirectoryPart);
    if (talk.end != Talk::End::kOk) {
      return {Unanswered(talk.end == Talk::End::kBlocked, talk.end == Talk::End::kUncertain,
                         talk.error),
              {talk.error, {}}};
    }
    const std::vector<std::string> strings = Split(talk.payload);
    if (talk.payload.empty() || talk.payload.back() != '\0') return {Outcome::kBroken, {}};
    if (!names.empty() && strings.front() != generation) {
      names.clear();
      continue;
    }
    generation = strings.front();
    const std::string part = talk.payload.substr(generation.size() + 1);
    if (part.empty()) return {Outcome::kBroken, {}};
    names += part;
    if (names == std::string(1, '\0')) return {Outcome::kAnswered, {0, {}}};
    if (names.size() > 1 && names.compare(names.size() - 2, 2, std::string(2, '\0')) == 0) break;
  }
  names.pop_back();
  return {Outcome::kAnswered, {0, Split(names)}};
}
