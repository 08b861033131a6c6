#include "expected_client.h"

#include <cerrno>
#include <cstring>

namespace {

using Outcome = ExpectedClient::Outcome;

// The errors that are about the path; any other, known or not, breaks the connection.
int ErrorAboutPath(const std::string& name) {
  if (name == "ENOENT") return ENOENT;
  if (name == "EACCES") return EACCES;
  if (name == "EPERM") return EPERM;
  return 0;
}

constexpr char kTooBig[] = "E2BIG";

// The strings that each ended with a NUL.
std::vector<std::string> Split(const std::string& payload) {
  std::vector<std::string> strings;
  for (size_t i = 0; i < payload.size(); i += strings.back().size() + 1) {
    strings.emplace_back(payload.c_str() + i);
  }
  return strings;
}

bool Ends(const std::string& payload) { return payload.empty() || payload.back() == '\0'; }

}  // namespace

ExpectedClient::Result ExpectedClient::Ask() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!connected_) {
      connected_ = true;
      hung_up_ = silent_ = false;
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
        case Outcome::kUnbearable:
          return {Outcome::kUnbearable, {}};
      }
    }
    if (connected_) return {Outcome::kAnswered, answers};
  }
  return {Outcome::kBroken, {}};
}

ExpectedClient::Talk ExpectedClient::Ask(uint32_t type) {
  if (hung_up_) return {Talk::End::kBroken, ""};
  if (!silent_) {
    const Request request{type, 0, ""};
    const Reply reply = honest_ ? HonestReply(request) : script_.ReplyTo(request, line_);
    line_ += reply.lines;
    unread_ += reply.bytes;
    hung_up_ = reply.then == Reply::Then::kHangUp;
    silent_ = reply.then == Reply::Then::kFallSilent;
  }

  const Talk waiting = {hung_up_ ? Talk::End::kBroken : Talk::End::kBlocked, ""};
  if (unread_.size() < kHeaderSize) return waiting;
  Header header;
  std::memcpy(&header, unread_.data(), sizeof(header));
  if (header.length > kMaxPayload) return {Talk::End::kBroken, ""};
  if (unread_.size() < kHeaderSize + header.length) return waiting;
  const std::string payload = unread_.substr(kHeaderSize, header.length);
  unread_.erase(0, kHeaderSize + header.length);

  if (header.type == kError) {
    const std::string name = payload.c_str();
    if (name == kTooBig) return {Talk::End::kError, "", E2BIG};
    const int error = ErrorAboutPath(name);
    if (error != 0) return {Talk::End::kError, "", error};
    return {Talk::End::kBroken, ""};
  }
  if (header.type != type) return {Talk::End::kBroken, ""};
  return {Talk::End::kOk, payload};
}

namespace {

// What becomes of a request that gave no payload.
Outcome Unanswered(bool blocked, int error) {
  if (blocked) return Outcome::kTimedOut;
  return error == 0 || error == E2BIG ? Outcome::kBroken : Outcome::kAnswered;
}

}  // namespace

ExpectedClient::One ExpectedClient::Read() {
  const Talk talk = Ask(kRead);
  if (talk.end == Talk::End::kOk) return {Outcome::kAnswered, {0, {talk.payload}}};
  return {Unanswered(talk.end == Talk::End::kBlocked, talk.error), {talk.error, {}}};
}

ExpectedClient::One ExpectedClient::Directory() {
  const Talk talk = Ask(kDirectory);
  if (talk.error == E2BIG) return DirectoryInParts();
  if (talk.end != Talk::End::kOk) {
    return {Unanswered(talk.end == Talk::End::kBlocked, talk.error), {talk.error, {}}};
  }
  if (!Ends(talk.payload)) return {Outcome::kUnbearable, {}};
  return {Outcome::kAnswered, {0, Split(talk.payload)}};
}

// A part is a generation, which a change of the directory changes, and names; an empty one ends
// them. When the generation changes, all begins again.
ExpectedClient::One ExpectedClient::DirectoryInParts() {
  constexpr size_t kGenerationKept = 23;
  std::string generation, names;
  for (;;) {
    const Talk talk = Ask(kDirectoryPart);
    if (talk.end != Talk::End::kOk) {
      return {Unanswered(talk.end == Talk::End::kBlocked, talk.error), {talk.error, {}}};
    }
    const size_t length = talk.payload.find('\0');
    if (length == std::string::npos) return {Outcome::kUnbearable, {}};
    const std::string its_generation = talk.payload.substr(0, length);
    if (names.empty()) {
      generation = its_generation.substr(0, kGenerationKept);
    } else if (its_generation != generation) {
      names.clear();
      continue;
    }
    names += talk.payload.substr(length + 1);
    if (names.size() <= 1 || names[names.size() - 2] == '\0') break;
  }
  if (names.size() > 1) names.pop_back();
  if (!Ends(names)) return {Outcome::kUnbearable, {}};
  return {Outcome::kAnswered, {0, Split(names)}};
}
