// Runs XenstoreClients in many threads, for the sanitizers: asker SOCKET
//
// Each line of the input is a command:
//   ask THREADS TIMES TIMEOUT_MS    that many threads, each with its own client, make that many
//                                   requests each; with 0 threads, the main thread makes them with
//                                   the client that it keeps
//   watch THREADS TIMES TIMEOUT_MS  the same, but for each of them a client is made, watches, waits
//                                   for a watch event, ends one of its watches, and is destroyed
//   renew                           destroys the client that the main thread keeps, and makes a
//                                   new one
// After each command it prints how many requests had each outcome.

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../../binding/xenstore_client.h"

using namespace xen_block_stats;

namespace {

using Operation = XenstoreClient::Operation;
using Outcome = XenstoreClient::Outcome;

constexpr double kEventMs = 5;

struct Tally {
  std::array<int, 5> outcomes = {};  // the number of requests with each Outcome
  int events = 0;                    // the number of clients that received a watch event

  int& operator[](Outcome outcome) { return outcomes[static_cast<size_t>(outcome)]; }
};

// Pauses before a request that timed out is tried again: it may have failed at once.
void Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

void Ask(XenstoreClient* client, int times, double timeout_ms, Tally* tally) {
  for (int i = 0; i < times; ++i) {
    const Deadline deadline(timeout_ms);
    const XenstoreClient::Response response =
        i % 2 == 0 ? client->Request(Operation::kDirectory, {"/local/domain", "/"}, deadline)
                   : client->Request(Operation::kRead, {"/local/domain/1/name"}, deadline);
    ++(*tally)[response.outcome];
    if (response.outcome == Outcome::kTimedOut) Pause();
  }
}

// Receives a client's notifications.
class Notifications {
 public:
  void Add() {
    std::lock_guard<std::mutex> lock(mutex_);
    is_pending_ = true;
    changed_.Notify();
  }

  // Returns whether there is one before the deadline.
  bool Wait(const Deadline& deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool is_notified = changed_.WaitUntil(lock, deadline, [this] { return is_pending_; });
    is_pending_ = false;
    return is_notified;
  }

 private:
  std::mutex mutex_;
  Condition changed_;
  bool is_pending_ = false;
};

// Posts a request and waits for its response. Adds the number of paths that change meanwhile to
// changed. Post() itself may time out: then the request is posted again until the deadline.
Outcome PostAndWait(XenstoreClient* client, Notifications* notifications, Operation operation,
                    const std::vector<std::string>& paths, double timeout_ms, size_t* changed) {
  const Deadline deadline(timeout_ms);
  client->Post(operation, paths);
  while (notifications->Wait(deadline)) {
    const XenstoreClient::Events events = client->Take();
    *changed += events.changed.size();
    if (!events.response.has_value()) continue;
    if (events.response->outcome != Outcome::kTimedOut) return events.response->outcome;
    Pause();
    if (deadline.MillisecondsLeft() < 0) break;
    client->Post(operation, paths);
  }
  return Outcome::kTimedOut;
}

void WatchOnce(const std::string& socket, double timeout_ms, Tally* tally) {
  const std::vector<std::string> paths = {"/local/domain", "/local/domain/1/name"};
  size_t changed = 0;
  // on the stack, because a client must not notify after it is destroyed
  Notifications notifications;
  XenstoreClient client(socket, [&notifications] { notifications.Add(); });
  Outcome outcome =
      PostAndWait(&client, &notifications, Operation::kWatch, paths, timeout_ms, &changed);
  if (outcome == Outcome::kAnswered) {
    if (changed == 0 && notifications.Wait(Deadline(kEventMs)))
      changed += client.Take().changed.size();
    outcome =
        PostAndWait(&client, &notifications, Operation::kUnwatch, {paths[0]}, timeout_ms, &changed);
  }
  ++(*tally)[outcome];
  if (changed > 0) ++tally->events;
}

// Runs the work in that many threads at a time. Every other one uses the default socket, which
// XENSTORED_PATH says, in place of the given one.
template <typename Work>
Tally InThreads(int threads, const std::string& socket, Work work) {
  std::vector<Tally> tallies(static_cast<size_t>(threads));
  std::vector<std::thread> running;
  for (size_t i = 0; i < tallies.size(); ++i) {
    running.emplace_back([&, i] { work(i % 2 == 0 ? socket : std::string(), &tallies[i]); });
  }
  for (std::thread& thread : running) thread.join();
  Tally sum;
  for (const Tally& tally : tallies) {
    for (size_t i = 0; i < sum.outcomes.size(); ++i) sum.outcomes[i] += tally.outcomes[i];
    sum.events += tally.events;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string socket = argv[1];
  setenv("XENSTORED_PATH", socket.c_str(), 1);
  auto kept = std::make_unique<XenstoreClient>(socket);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    int threads = 0, times = 0;
    double timeout_ms = 0;
    words >> command >> threads >> times >> timeout_ms;
    Tally tally;
    if (command == "renew") {
      kept = std::make_unique<XenstoreClient>(socket);
    } else if (command == "watch") {
      tally = InThreads(threads, socket, [=](const std::string& its_socket, Tally* its) {
        for (int i = 0; i < times; ++i) WatchOnce(its_socket, timeout_ms, its);
      });
    } else if (threads == 0) {
      Ask(kept.get(), times, timeout_ms, &tally);
    } else {
      tally = InThreads(threads, socket, [=](const std::string& its_socket, Tally* its) {
        XenstoreClient client(its_socket);
        Ask(&client, times, timeout_ms, its);
      });
    }
    std::cout << tally[Outcome::kAnswered] << " answered, " << tally[Outcome::kTimedOut]
              << " timed out, " << tally[Outcome::kConnectFailed] << " not connected, "
              << tally[Outcome::kBroken] << " broken, " << tally.events << " events" << std::endl;
  }
  return 0;
}
