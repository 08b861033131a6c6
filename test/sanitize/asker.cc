// Asks xenstored in as many threads as it is told to, for ThreadSanitizer: asker SOCKET
//
// Each line of its input is "ask THREADS TIMES TIMEOUT_MS": so many threads, each with a connection
// of its own, ask so many times; 0 threads are this one, with a connection that is kept; or
// "watch", in place of "ask": each time a connection is made, watches, and is ended, whatever it is
// at. For each line it prints how many of the asks were answered, were not in time, found nobody or
// broke. The line "renew" ends the connection that is kept, whatever it is at, and begins another.

#include <array>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../binding/xenstore.h"

using namespace xen_block_stats;

namespace {

using Operation = XenstoreLink::Operation;
using Outcome = XenstoreLink::Outcome;

// How many asks had each outcome, at the outcome's place.
using Tally = std::array<int, 4>;

void Ask(Xenstore* xenstore, int times, double timeout_ms, Tally* tally) {
  for (int i = 0; i < times; ++i) {
    const XenstoreLink::Result result =
        i % 2 == 0 ? xenstore->Ask(Operation::kDirectory, {"/local/domain", "/"}, timeout_ms)
                   : xenstore->Ask(Operation::kRead, {"/local/domain/1/name"}, timeout_ms);
    ++(*tally)[static_cast<size_t>(result.outcome)];
  }
}

// Where a link's threads say that there are news, as long as they live.
struct Bell {
  std::mutex mutex;
  Condition changed;
  bool rung = false;

  void Ring() {
    std::lock_guard<std::mutex> lock(mutex);
    rung = true;
    changed.Notify();
  }

  // Whether it rings, or has rung, before the deadline.
  bool Wait(const Deadline& deadline) {
    std::unique_lock<std::mutex> lock(mutex);
    const bool in_time = changed.WaitUntil(lock, deadline, [this] { return rung; });
    rung = false;
    return in_time;
  }
};

Outcome WatchOnce(const std::string& socket, double timeout_ms, StoppedLinks* stopped) {
  const Deadline deadline(timeout_ms);
  if (!stopped->HasRoom(deadline)) return Outcome::kTimedOut;
  const auto bell = std::make_shared<Bell>();
  auto link = XenstoreLink::Start(socket, [bell] { bell->Ring(); });
  link->Post(Operation::kWatch, {"/local/domain", "/local/domain/1/name"}, deadline);
  Outcome outcome = Outcome::kTimedOut;
  while (outcome == Outcome::kTimedOut && bell->Wait(deadline)) {
    const XenstoreLink::News news = link->TakeNews();
    if (news.answer.has_value()) outcome = news.answer->outcome;
  }
  stopped->Stop(std::move(link));
  return outcome;
}

void Watch(const std::string& socket, int times, double timeout_ms, Tally* tally) {
  StoppedLinks stopped;
  for (int i = 0; i < times; ++i) {
    ++(*tally)[static_cast<size_t>(WatchOnce(socket, timeout_ms, &stopped))];
  }
}

// Has so many threads do it at a time.
template <typename Work>
Tally InThreads(int threads, Work work) {
  std::vector<Tally> tallies(static_cast<size_t>(threads), Tally{});
  std::vector<std::thread> running;
  for (Tally& tally : tallies) running.emplace_back([&tally, &work] { work(&tally); });
  for (std::thread& thread : running) thread.join();
  Tally sum{};
  for (const Tally& tally : tallies) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += tally[i];
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string socket = argv[1];
  auto kept = std::make_unique<Xenstore>(socket);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    int threads = 0, times = 0;
    double timeout_ms = 0;
    words >> what >> threads >> times >> timeout_ms;
    Tally tally{};
    if (what == "renew") {
      kept = std::make_unique<Xenstore>(socket);
    } else if (what == "watch") {
      tally = InThreads(threads, [=](Tally* its) { Watch(socket, times, timeout_ms, its); });
    } else if (threads == 0) {
      Ask(kept.get(), times, timeout_ms, &tally);
    } else {
      tally = InThreads(threads, [=](Tally* its) {
        Xenstore xenstore(socket);
        Ask(&xenstore, times, timeout_ms, its);
      });
    }
    const auto count = [&tally](Outcome it) { return tally[static_cast<size_t>(it)]; };
    std::cout << count(Outcome::kAnswered) << " answered, " << count(Outcome::kTimedOut)
              << " late, " << count(Outcome::kConnectFailed) << " found nobody, "
              << count(Outcome::kBroken) << " broke" << std::endl;
  }
  return 0;
}
