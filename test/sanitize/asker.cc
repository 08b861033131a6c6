// Asks xenstored in as many threads as it is told to, for ThreadSanitizer: asker SOCKET
//
// Each line of its input is "THREADS ASKS TIMEOUT_MS": so many threads, each with a connection of
// its own, ask so many times; 0 threads are this one, with a connection that is kept. For each line
// it prints how many of the asks were answered, were not in time, found nobody or broke.
// The line "renew" ends the connection that is kept, whatever it is at, and begins another.

#include <array>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../../binding/xenstore.h"

using namespace xen_block_stats;

namespace {

// How many asks had each outcome, at the outcome's place.
using Tally = std::array<int, 5>;

void Ask(Xenstore* xenstore, int asks, double timeout_ms, Tally* tally) {
  for (int i = 0; i < asks; ++i) {
    const XenstoreLink::Result result =
        i % 2 == 0
            ? xenstore->Ask(XenstoreLink::Operation::kDirectory, {"/local/domain", "/"}, timeout_ms)
            : xenstore->Ask(XenstoreLink::Operation::kRead, {"/local/domain/1/name"}, timeout_ms);
    ++(*tally)[static_cast<size_t>(result.outcome)];
  }
}

Tally AskInThreads(const std::string& socket, int threads, int asks, double timeout_ms) {
  std::vector<Tally> tallies(static_cast<size_t>(threads), Tally{});
  std::vector<std::thread> running;
  for (Tally& tally : tallies) {
    running.emplace_back([&socket, &tally, asks, timeout_ms] {
      Xenstore xenstore(socket);
      Ask(&xenstore, asks, timeout_ms, &tally);
    });
  }
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
    Tally tally{};
    int threads, asks;
    double timeout_ms;
    if (line == "renew") {
      kept = std::make_unique<Xenstore>(socket);
    } else if (std::istringstream(line) >> threads >> asks >> timeout_ms) {
      if (threads == 0) {
        Ask(kept.get(), asks, timeout_ms, &tally);
      } else {
        tally = AskInThreads(socket, threads, asks, timeout_ms);
      }
    } else {
      return 2;
    }
    const auto count = [&tally](Xenstore::Outcome it) { return tally[static_cast<size_t>(it)]; };
    std::cout << count(XenstoreLink::Outcome::kAnswered) << " answered, "
              << count(XenstoreLink::Outcome::kTimedOut) << " late, "
              << count(XenstoreLink::Outcome::kConnectFailed) << " found nobody, "
              << count(XenstoreLink::Outcome::kBroken) << " broke" << std::endl;
  }
  return 0;
}
