#include "expected_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace {

using Outcome = ExpectedClient::Outcome;

constexpr std::string_view kDocumented[] = {
    "EINVAL", "EACCES",    "EEXIST", "EISDIR", "ENOENT", "ENOMEM",  "ENOSPC", "EIO",
    "ENOSYS", "ENOTEMPTY", "EROFS",  "EBUSY",  "EAGAIN", "EISCONN", "E2BIG",  "EPERM"};

// 0 for an error that is not documented, or has no end.
int ErrorOf(const std::string& payload) {
  for (const std::string_view name : kDocumented) {
    if (payload != std::string(name) + '\0') continue;
    if (name == "ENOENT") return ENOENT;
    if (name == "EACCES") return EACCES;
    if (name == "EPERM") return EPERM;
    if (name == "E2BIG") return E2BIG;
    return EIO;  // any that is not about the path
  }
  return 0;
}

bool IsAboutPath(int error) { return error == ENOENT || error == EACCES || error == EPERM; }

// The strings that each ended with a NUL.
std::vector<std::string> Split(const std::string& payload) {
  std::vector<std::string> strings;
  for (size_t i = 0; i < payload.size(); i += strings.back().size() + 1) {
    strings.emplace_back(payload.c_str() + i);
  }
  return strings;
}

}  // namespace

ExpectedClient::Result ExpectedClient::Ask() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!connected_) {
      connected_ = true;
      hung_up_ = silent_ = false;
      unread_.clear();
      requests_ = 0;
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
      }
    }
    if (connected_) return {Outcome::kAnswered, answers};
  }
  return {Outcome::kBroken, {}};
}

ExpectedClient::Talk ExpectedClient::Ask(uint32_t type) {
  const Talk broken{Talk::End::kBroken, ""};
  const Request request{type, ++requests_, ""};
  if (hung_up_) return broken;
  if (!silent_) {
    const Reply reply = honest_ ? HonestReply(request) : script_.ReplyTo(request, line_);
    line_ += reply.lines;
    unread_ += reply.bytes;
    hung_up_ = reply.then == Reply::Then::kHangUp;
    silent_ = reply.then == Reply::Then::kFallSilent;
  }

  Header header;
  std::string payload;
  do {
    const Talk waiting{hung_up_ ? Talk::End::kBroken : Talk::End::kBlocked, ""};
    if (unread_.size() < kHeaderSize) return waiting;
    std::memcpy(&header, unread_.data(), sizeof(header));
    if (header.length > kMaxPayload) return broken;
    if (unread_.size() < kHeaderSize + header.length) return waiting;
    payload = unread_.substr(kHeaderSize, header.length);
    unread_.erase(0, kHeaderSize + header.length);
    // an event has two strings
    const bool event = header.type == kWatchEvent;
    if (event && std::count(payload.begin(), payload.end(), '\0') < 2) return broken;
  } while (header.type == kWatchEvent);

  if (header.request_id != request.id) return broken;
  // what came with an answer can only be events: the rest of one is told by its first bytes
  const std::string event_begins("\x0f\0\0", 4);
  if (unread_.substr(0, 4) != event_begins.substr(0, unread_.size())) return broken;
  if (header.type == type) return {Talk::End::kOk, payload};
  const int error = header.type == kError ? ErrorOf(payload) : 0;
  return error == 0 ? broken : Talk{Talk::End::kError, "", error};
}

// What becomes of a request that gave no payload.
ExpectedClient::One ExpectedClient::Unanswered(const Talk& talk) {
  if (talk.end == Talk::End::kBlocked) return {Outcome::kTimedOut, {}};
  if (!IsAboutPath(talk.error)) return {Outcome::kBroken, {}};
  return {Outcome::kAnswered, {talk.error, {}}};
}

ExpectedClient::One ExpectedClient::Read() {
  const Talk talk = Ask(kRead);
  if (talk.end != Talk::End::kOk) return Unanswered(talk);
  return {Outcome::kAnswered, {0, {talk.payload}}};
}

ExpectedClient::One ExpectedClient::Directory() {
  const Talk talk = Ask(kDirectory);
  if (talk.error == E2BIG) return DirectoryInParts();
  if (talk.end != Talk::End::kOk) return Unanswered(talk);
  if (!talk.payload.empty() && talk.payload.back() != '\0') return {Outcome::kBroken, {}};
  return {Outcome::kAnswered, {0, Split(talk.payload)}};
}

// A part is a generation, which a change of the directory changes, and names; an empty one ends
// them. When the generation changes, all begins again.
ExpectedClient::One ExpectedClient::DirectoryInParts() {
  std::string generation;
  std::vector<std::string> names;
  for (;;) {
    const Talk talk = Ask(kDirectoryPart);
    if (talk.end != Talk::End::kOk) return Unanswered(talk);
    if (talk.payload.empty() || talk.payload.back() != '\0') return {Outcome::kBroken, {}};
    std::vector<std::string> part = Split(talk.payload);
    const std::string its_generation = part.front();
    part.erase(part.begin());
    if (!names.empty() && its_generation != generation) {
      names.clear();
      continue;
    }
    if (part.empty()) return {Outcome::kBroken, {}};
    generation = its_generation;
    names.insert(names.end(), part.begin(), part.end());
    if (names.back().empty()) break;
  }
  names.pop_back();
  return {Outcome::kAnswered, {0, names}};
}
