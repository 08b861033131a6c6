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
    // It depends on when bytes arrive that belong to no answer.
    kUncertain,
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
    enum class End { kOk, kError, kBroken, kBlocked, kUncertain } end;
    std::string payload;
    int error = 0;
  };

  struct One {
    Outcome outcome;
    Answer answer;
  };

  Talk Ask(uint32_t type);
  bool TakeMessage(Header* header, std::string* payload);
  One Read();
  One Directory();
  One DirectoryInParts();

  const Script& script_;
  size_t line_ = 0;
  bool honest_ = false;

  // The connection, as its client sees it.
  bool connected_ = false;
  uint32_t last_id_ = 0;
  bool hung_up_ = false;
  bool silent_ = false;
  std::string unread_;
};
