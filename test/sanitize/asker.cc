// Runs XenstoreClients in many threads, for the sanitizers: asker SOCKET
//
// Each line of the input is a command:
//   ask THREADS TIMES TIMEOUT_MS    that many threads, each with its own client, make that many
//                                   requests each; with 0 threads, the main thread makes them with
//                                   the client that it keeps
//   watch THREADS TIMES TIMEOUT_MS  the same, but for each of them a client is made, watches (if it
//                                   is not answered, on a second connection), waits for a watch
//                                   event, ends one of its watches, and is destroyed
//   reconnect THREADS 1 TIMEOUT_MS  that many threads, each with its own client, watch; when all do
//                                   it prints "watching"; each then waits until its connection is
//                                   lost, and makes a request until xenstored answers again
//   renew                           destroys the client that the main thread keeps, and makes a
//                                   new one
// After each command it prints how many requests had each outcome.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
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

// A client that watches, and its notifications.
class Watcher {
 public:
  explicit Watcher(const std::string& socket) : client_(socket, [this] { notifications_.Add(); }) {}

  // Posts a request and waits for its response. Post() itself may time out: then the request is
  // posted again until the deadline.
  Outcome Request(Operation operation, const std::vector<std::string>& paths,
                  const Deadline& deadline) {
    client_.Post(operation, paths);
    while (Wait(deadline)) {
      if (!response_.has_value()) continue;
      const Outcome outcome = std::exchange(response_, std::nullopt)->outcome;
      if (outcome != Outcome::kTimedOut) return outcome;
      Pause();
      if (deadline.MillisecondsLeft() < 0) break;
      client_.Post(operation, paths);
    }
    return Outcome::kTimedOut;
  }

  // Waits for a notification and takes the events. Returns whether there is one before the
  // deadline.
  bool Wait(const Deadline& deadline) {
    if (!notifications_.Wait(deadline)) return false;
    XenstoreClient::Events events = client_.Take();
    if (events.response.has_value()) response_ = std::move(events.response);
    is_changed_ = is_changed_ || !events.changed.empty();
    is_lost_ = is_lost_ || events.lost;
    return true;
  }

  // Abandons the connection of an unanswered request. Returns false if there is none, or if one is
  // abandoned already.
  bool GiveUp() { return client_.GiveUp(); }

  bool is_changed() const { return is_changed_; }
  bool is_lost() const { return is_lost_; }

 private:
  std::optional<XenstoreClient::Response> response_;
  bool is_changed_ = false;
  bool is_lost_ = false;
  Notifications notifications_;
  XenstoreClient client_;  // destroyed first: it must not notify any more then
};

const std::vector<std::string> kWatched = {"/local/domain", "/local/domain/1/name"};

void WatchOnce(const std::string& socket, double timeout_ms, Tally* tally) {
  Watcher watcher(socket);
  Outcome outcome = watcher.Request(Operation::kWatch, kWatched, Deadline(timeout_ms));
  if (outcome == Outcome::kTimedOut && watcher.GiveUp()) {
    outcome = watcher.Request(Operation::kWatch, kWatched, Deadline(timeout_ms));
  }
  if (outcome == Outcome::kAnswered) {
    if (!watcher.is_changed()) watcher.Wait(Deadline(kEventMs));
    outcome = watcher.Request(Operation::kUnwatch, {kWatched[0]}, Deadline(timeout_ms));
  }
  ++(*tally)[outcome];
  if (watcher.is_changed()) ++tally->events;
}

// still_to_watch: how many threads do not watch yet.
void Reconnect(const std::string& socket, double timeout_ms, std::atomic<int>* still_to_watch,
               Tally* tally) {
  const Deadline deadline(timeout_ms);
  Watcher watcher(socket);
  Outcome outcome = watcher.Request(Operation::kWatch, kWatched, deadline);
  if (--*still_to_watch == 0) std::cout << "watching" << std::endl;
  while (!watcher.is_lost() && watcher.Wait(deadline)) continue;
  if (!watcher.is_lost()) outcome = Outcome::kTimedOut;
  while (watcher.is_lost() && deadline.MillisecondsLeft() > 0) {
    outcome = watcher.Request(Operation::kRead, {kWatched[1]}, deadline);
    if (outcome == Outcome::kAnswered) break;
    Pause();
  }
  ++(*tally)[outcome];
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
    } else if (command == "reconnect") {
      std::atomic<int> still_to_watch(threads);
      tally = InThreads(threads, socket, [&](const std::string& its_socket, Tally* its) {
        Reconnect(its_socket, timeout_ms, &still_to_watch, its);
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
