// Whatever a xenstored replies, Xenstore::Ask gives what the replies say or that they are of no
// use, in time, and leaves nothing behind. Input: a script (script.h).

#include <dirent.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "../../binding/xenstore.h"
#include "expected_client.h"
#include "hostile_xenstored.h"
#include "require.h"

using namespace xen_block_stats;
using Clock = std::chrono::steady_clock;

// xs_directory forgets what it has of a directory in parts when a later part does not come.
extern "C" const char* __lsan_default_suppressions() { return "leak:xs_directory\n"; }

namespace {

constexpr int kAsks = 3;
// When no answer can come, and when it must.
constexpr double kShortTimeoutMs = 5, kLongTimeoutMs = 30'000;
// For a busy machine to get round to it.
constexpr double kMarginMs = 2'000;

size_t Entries(const char* folder) {
  DIR* open = opendir(folder);
  Require(open != nullptr, "a folder of /proc can be read");
  size_t entries = 0;
  while (readdir(open) != nullptr) ++entries;
  closedir(open);
  return entries;
}

// The threads and descriptors of this process.
struct Census {
  size_t threads = Entries("/proc/self/task");
  size_t descriptors = Entries("/proc/self/fd");
};

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void Check(const Xenstore::Result& result, const ExpectedClient::Result& expected) {
  switch (expected.outcome) {
    case ExpectedClient::Outcome::kTimedOut:
      Require(result.outcome == Xenstore::Outcome::kTimedOut, "no reply is a timeout");
      break;
    case ExpectedClient::Outcome::kBroken:
      Require(result.outcome == Xenstore::Outcome::kBroken, "nonsense breaks the connection");
      Require(result.error > 0, "a broken connection has a reason");
      break;
    default:
      Require(result.outcome == Xenstore::Outcome::kAnswered, "an answer is an answer");
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
    if (expected.back().outcome == ExpectedClient::Outcome::kUnbearable) return 0;
  }

  static HostileXenstored xenstored;
  const Census before;
  xenstored.Play(script);
  Clock::time_point start;
  {
    Xenstore xenstore(xenstored.socket());
    for (const ExpectedClient::Result& it : expected) {
      const bool in_vain = it.outcome == ExpectedClient::Outcome::kTimedOut;
      const double timeout = in_vain ? kShortTimeoutMs : kLongTimeoutMs;
      start = Clock::now();
      const Xenstore::Result result = xenstore.Ask(
          script.directory() ? Xenstore::Operation::kDirectory : Xenstore::Operation::kRead,
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

  start = Clock::now();
  for (Census now;; now = {}) {
    if (now.threads == before.threads && now.descriptors == before.descriptors) break;
    Require(MsSince(start) <= kMarginMs, "no thread and no descriptor is left behind");
    xenstored.HangUp();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  Require(std::getenv("XENSTORED_PATH") == nullptr, "the environment is as it was");
  return 0;
}
