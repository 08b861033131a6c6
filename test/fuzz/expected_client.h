#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "script.h"

// What must come out of Xenstore::Ask, one call after the other, when a script is played to it:
// worked out beforehand from the bytes alone.
class ExpectedClient {
 public:
  enum class Outcome {
    kAnswered,
    kBroken,
    kTimedOut,
  };

  struct Answer {
    int error;
    std::vector<std::string> strings;
  };

  struct Result {
    Outcome outcome;
    std::vector<Answer> answers;
  };

  explicit ExpectedClient(const Script& script) : script_(script) {}

  Result Ask();

 private:
  // What came of one request.
  struct Talk {
    enum class End { kOk, kError, kBroken, kBlocked } end;
    std::string payload;
    int error = 0;
  };

  struct One {
    Outcome outcome;
    Answer answer;
  };

  Talk Ask(uint32_t type);
  static One Unanswered(const Talk& talk);
  One Read();
  One Directory();
  One DirectoryInParts();

  const Script& script_;
  size_t line_ = 0;
  bool honest_ = false;

  // The connection, as its client sees it.
  bool connected_ = false;
  bool hung_up_ = false;
  bool silent_ = false;
  std::string unread_;
  uint32_t requests_ = 0;
};
