// Runs XenstoreClients in many threads, for the sanitizers: client_driver SOCKET
//
// Each line of the input is a command:
//   request THREADS TIMES TIMEOUT_MS
//     THREADS threads, each with its own client, make TIMES requests each. With 0 threads, the main
//     thread makes them with the client that it keeps.
//   watch THREADS TIMES TIMEOUT_MS
//     THREADS threads do this TIMES times: create a client, watch (on a second connection, if the
//     first request is unanswered), wait for a watch event, end one of the watches, destroy the
//     client.
//   count THREADS TIMES TIMEOUT_MS
//     THREADS threads do this TIMES times: create a client, make a request, watch (on a second
//     connection, if that is unanswered), poll the count of changes, destroy the client. A change
//     that is not counted is an error.
//   reconnect THREADS 1 TIMEOUT_MS
//     THREADS threads, each with two clients, one that posts and one that does not, watch. When all
//     of them watch, prints "watching". Each thread then waits until its connections are lost, and
//     makes requests until xenstored responds again.
//   renew
//     Destroys the client that the main thread keeps, and creates a new one.
// Prints the number of requests with each outcome after each command.

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
// The time in which a change, or a lost connection, must be counted.
constexpr double kCountMs = 10000;

struct Tally {
  std::array<int, 5> outcomes = {};  // the number of requests with each Outcome
  int events = 0;                    // the number of clients that received a watch event

  int& operator[](Outcome outcome) { return outcomes[static_cast<size_t>(outcome)]; }
};

// Pauses before a retry of a request that timed out, because such a request may fail at once.
void Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

void MakeRequests(XenstoreClient* client, int times, double timeout_ms, Tally* tally) {
  for (int i = 0; i < times; ++i) {
    const Deadline deadline(timeout_ms);
    const XenstoreClient::Response response =
        i % 2 == 0 ? client->Request(Operation::kRead,
                                     {"/local/domain/*", "/local/domain/*/{name,vm}"}, deadline)
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

  // Waits for a notification. Returns false if there is none before the deadline.
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

  // Posts a request and waits for its response. Post() itself may time out. The request is then
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

  // Waits for a notification and takes the events. Returns false if there is none before the
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
  XenstoreClient client_;  // last member: destroyed before the members that its notifications use
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

// Writes an error, which fails the test.
void Report(const char* what) { std::cerr << what << std::endl; }

// Polls the count of changes. Returns false if it is still the same at the deadline.
bool WaitForChange(const XenstoreClient& client, uint32_t count, const Deadline& deadline) {
  while (client.Changes() == count) {
    if (deadline.MillisecondsLeft() < 0) return false;
    Pause();
  }
  return true;
}

// Watches with a client that had made a request before, and so has a new connection.
void CountOnce(const std::string& socket, double timeout_ms, Tally* tally) {
  XenstoreClient client(socket);
  const auto request = [&](Operation operation, const std::vector<std::string>& paths) {
    return client.Request(operation, paths, Deadline(timeout_ms));
  };
  Outcome outcome = request(Operation::kRead, {kWatched[1]}).outcome;
  if (outcome == Outcome::kAnswered) outcome = request(Operation::kWatch, kWatched).outcome;
  const uint32_t before = client.Changes();
  if (outcome == Outcome::kTimedOut && client.GiveUp()) {
    if (client.Changes() == before) Report("lost watches are not counted");
    outcome = request(Operation::kWatch, kWatched).outcome;
  }
  ++(*tally)[outcome];
  if (outcome != Outcome::kAnswered) return;
  const uint32_t count = client.Changes();
  const XenstoreClient::Response first = request(Operation::kRead, {kWatched[1]});
  if (WaitForChange(client, count, Deadline(kEventMs))) {
    ++tally->events;
    return;
  }
  const XenstoreClient::Response second = request(Operation::kRead, {kWatched[1]});
  const bool is_read = first.outcome == Outcome::kAnswered && second.outcome == Outcome::kAnswered;
  if (is_read && first.answers[0].value != second.answers[0].value &&
      !WaitForChange(client, count, Deadline(kCountMs))) {
    Report("a change is not counted");
  }
}

// Watches, and reconnects when the connection is lost. still_to_watch: the number of threads that
// do not watch yet.
void Reconnect(const std::string& socket, double timeout_ms, std::atomic<int>* still_to_watch,
               Tally* tally) {
  const Deadline deadline(timeout_ms);
  Watcher watcher(socket);
  Outcome outcome = watcher.Request(Operation::kWatch, kWatched, deadline);
  XenstoreClient counting(socket);
  counting.Request(Operation::kRead, {kWatched[1]}, deadline);
  if (counting.Request(Operation::kWatch, kWatched, deadline).outcome != Outcome::kAnswered) {
    Report("a client cannot watch");
  }
  const uint32_t count = counting.Changes();
  if (--*still_to_watch == 0) std::cout << "watching" << std::endl;
  while (!watcher.is_lost() && watcher.Wait(deadline)) continue;
  if (!watcher.is_lost()) outcome = Outcome::kTimedOut;
  while (watcher.is_lost() && deadline.MillisecondsLeft() > 0) {
    outcome = watcher.Request(Operation::kRead, {kWatched[1]}, deadline);
    if (outcome == Outcome::kAnswered) break;
    Pause();
  }
  ++(*tally)[outcome];
  if (!WaitForChange(counting, count, Deadline(kCountMs))) Report("a loss is not counted");
  while (counting.Request(Operation::kWatch, kWatched, deadline).outcome != Outcome::kAnswered) {
    if (deadline.MillisecondsLeft() < 0) return Report("a client cannot watch again");
    Pause();
  }
}

// Runs the work in THREADS threads at a time. Every second thread uses the default socket, from
// XENSTORED_PATH, instead of the given one.
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
    std::istringstream fields(line);
    std::string command;
    int threads = 0, times = 0;
    double timeout_ms = 0;
    fields >> command >> threads >> times >> timeout_ms;
    Tally tally;
    if (command == "renew") {
      kept = std::make_unique<XenstoreClient>(socket);
    } else if (command == "watch") {
      tally =
          InThreads(threads, socket, [=](const std::string& thread_socket, Tally* thread_tally) {
            for (int i = 0; i < times; ++i) WatchOnce(thread_socket, timeout_ms, thread_tally);
          });
    } else if (command == "count") {
      tally =
          InThreads(threads, socket, [=](const std::string& thread_socket, Tally* thread_tally) {
            for (int i = 0; i < times; ++i) CountOnce(thread_socket, timeout_ms, thread_tally);
          });
    } else if (command == "reconnect") {
      std::atomic<int> still_to_watch(threads);
      tally =
          InThreads(threads, socket, [&](const std::string& thread_socket, Tally* thread_tally) {
            Reconnect(thread_socket, timeout_ms, &still_to_watch, thread_tally);
          });
    } else if (threads == 0) {
      MakeRequests(kept.get(), times, timeout_ms, &tally);
    } else {
      tally =
          InThreads(threads, socket, [=](const std::string& thread_socket, Tally* thread_tally) {
            XenstoreClient client(thread_socket);
            MakeRequests(&client, times, timeout_ms, thread_tally);
          });
    }
    std::cout << tally[Outcome::kAnswered] << " answered, " << tally[Outcome::kTimedOut]
              << " timed out, " << tally[Outcome::kConnectFailed] << " not connected, "
              << tally[Outcome::kBroken] << " broken, " << tally.events << " events" << std::endl;
  }
  return 0;
}
