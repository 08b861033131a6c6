// Whatever a xenstored sends to a connection that watches, what is said to have changed was in it,
// whoever waits does so in time, the end of the connection is noticed, and nothing is left behind.
// Input: a script (script.h); its question says how many paths.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>

#include "../../binding/xenstore_link.h"
#include "census.h"
#include "hostile_xenstored.h"
#include "require.h"

using namespace xen_block_stats;
using Operation = XenstoreLink::Operation;
using Outcome = XenstoreLink::Outcome;

namespace {

constexpr double kTimeoutMs = 10;

void CheckNews(const XenstoreLink::News& news, const std::string& sent) {
  for (const std::string& path : news.changed) {
    Require(sent.find(path) != std::string::npos, "what has changed was sent");
    Require(std::count(path.begin(), path.end(), '/') <= XenstoreLink::kPathParts,
            "what has changed is said in few words");
  }
}

// Whether it was answered.
bool Ask(XenstoreLink* link, Operation operation, const Script& script,
         HostileXenstored* xenstored) {
  const Clock::time_point start = Clock::now();
  const XenstoreLink::Result result = link->Ask(operation, script.paths(), Deadline(kTimeoutMs));
  const double elapsed = MsSince(start);
  Require(elapsed <= kTimeoutMs + kMarginMs, "the timeout is kept");
  switch (result.outcome) {
    case Outcome::kAnswered: {
      Require(result.answers.size() == script.paths().size(), "each path has its answer");
      const std::string sent = xenstored->Sent();
      for (const XenstoreLink::Answer& answer : result.answers) {
        for (const std::string& value : answer.strings) {
          Require(sent.find(value) != std::string::npos, "a value was sent");
        }
      }
      return true;
    }
    case Outcome::kTimedOut:
      Require(elapsed >= kTimeoutMs, "the timeout is waited for");
      return false;
    default:
      Require(result.outcome == Outcome::kBroken && result.error > 0,
              "a broken connection has a reason");
      return false;
  }
}

// A connection of somebody else's in this process, to which nothing is sent.
class Bystander {
 public:
  explicit Bystander(const std::string& path) : descriptor_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    Require(connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0,
            "a second connection can be made");
  }
  ~Bystander() { close(descriptor_); }
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;

  // Neither closed nor shut down, at either end.
  bool IsAsItWas() const {
    char byte;
    return recv(descriptor_, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

 private:
  int descriptor_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Script script(std::string_view(reinterpret_cast<const char*>(data), size));
  static HostileXenstored xenstored;
  xenstored.HangUp();  // it may not have noticed yet that somebody went
  const Census before;
  xenstored.Play(script);
  std::atomic<int> notified{0};
  {
    const auto link = XenstoreLink::Start(xenstored.socket(), [&notified] { ++notified; });
    Require(link != nullptr, "a thread is to be had");
    if (Ask(link.get(), Operation::kWatch, script, &xenstored) &&
        Ask(link.get(), Operation::kRead, script, &xenstored)) {
      Ask(link.get(), Operation::kUnwatch, script, &xenstored);
    }
    CheckNews(link->TakeNews(), xenstored.Sent());

    if (script.directory()) {
      const Clock::time_point start = Clock::now();
      for (bool broken = false; !broken;) {
        xenstored.HangUp();
        const XenstoreLink::News news = link->TakeNews();
        CheckNews(news, xenstored.Sent());
        broken = news.broken;
        Require(MsSince(start) <= kMarginMs, "the end of the connection is noticed");
      }
      Require(notified > 0, "the end of the connection is told");
    }

    // it takes the number of the descriptor that the link's connection had
    const Bystander bystander(xenstored.socket());
    const Clock::time_point start = Clock::now();
    link->Stop();
    Require(MsSince(start) <= kMarginMs, "the end waits for nobody");
    Require(link->EndsBefore(Deadline(kMarginMs)), "the thread ends, whatever xenstored does");
    Require(bystander.IsAsItWas(), "nobody else's connection is touched");
  }
  RequireAsBefore(before);
  return 0;
}
