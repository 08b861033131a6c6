// Whatever a xenstored replies, Xenstore::Ask gives what the replies say or that they are of no
// use, in time, and leaves nothing behind. Input: a script (script.h).

#include <cerrno>
#include <string_view>

#include "../../binding/xenstore.h"
#include "census.h"
#include "expected_client.h"
#include "hostile_xenstored.h"
#include "require.h"

using namespace xen_block_stats;

namespace {

constexpr int kAsks = 3;
// When no answer can come, and when it must.
constexpr double kShortTimeoutMs = 5, kLongTimeoutMs = 30'000;
void Check(const XenstoreLink::Result& result, const ExpectedClient::Result& expected) {
  switch (expected.outcome) {
    case ExpectedClient::Outcome::kTimedOut:
      Require(result.outcome == XenstoreLink::Outcome::kTimedOut, "no reply is a timeout");
      break;
    case ExpectedClient::Outcome::kBroken:
      Require(result.outcome == XenstoreLink::Outcome::kBroken, "nonsense breaks the connection");
      Require(result.error > 0, "a broken connection has a reason");
      break;
    default:
      Require(result.outcome == XenstoreLink::Outcome::kAnswered, "an answer is an answer");
      Require(result.answers.size() == expected.answers.size(), "each path has its answer");
      for (size_t i = 0; i < result.answers.size(); ++i) {
        Require(result.answers[i].error == expected.answers[i].error, "an error is as replied");
        Require(result.answers[i].strings == expected.answers[i].strings,
                "values and names are as replied");
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Script script(std::string_view(reinterpret_cast<const char*>(data), size));
  ExpectedClient client(script);
  std::vector<ExpectedClient::Result> expected;
  for (int i = 0; i < kAsks; ++i) {
    expected.push_back(client.Ask());
  }

  static HostileXenstored xenstored;
  xenstored.HangUp();  // it may not have noticed yet that somebody went
  const Census before;
  xenstored.Play(script);
  Clock::time_point start;
  {
    Xenstore xenstore(xenstored.socket());
    for (const ExpectedClient::Result& it : expected) {
      const bool in_vain = it.outcome == ExpectedClient::Outcome::kTimedOut;
      const double timeout = in_vain ? kShortTimeoutMs : kLongTimeoutMs;
      start = Clock::now();
      const XenstoreLink::Result result = xenstore.Ask(
          script.directory() ? XenstoreLink::Operation::kDirectory : XenstoreLink::Operation::kRead,
          script.paths(), timeout);
      const double elapsed = MsSince(start);
      Check(result, it);
      Require(!in_vain || elapsed >= timeout, "the timeout is waited for");
      Require(elapsed <= timeout + kMarginMs, "the timeout is kept");
      // what is asked next is answered, by a new connection
      if (in_vain) xenstored.BeHonest();
    }
    start = Clock::now();
  }
  Require(MsSince(start) <= kMarginMs, "the end waits for nobody");

  RequireAsBefore(before);
  return 0;
}
