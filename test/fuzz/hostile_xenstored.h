#pragma once

#include <condition_variable>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "script.h"

// Serves a script on a Unix socket in a temporary folder, to any number of connections.
class HostileXenstored {
 public:
  HostileXenstored();
  ~HostileXenstored();

  const std::string& socket() const { return socket_; }

  // Begins a script.
  void Play(const Script& script);
  // Gives up the script, and replies as it should from now on.
  void BeHonest();
  // Closes all connections.
  void HangUp();
  // All that it has sent since the script began.
  std::string Sent();

 private:
  struct Connection {
    int descriptor;
    std::string unread;
    bool silent = false;
  };

  void Run();
  // Both: whether the connection goes on.
  bool Hear(Connection* connection);
  bool Send(Connection* connection, const Reply& reply);

  std::string folder_, socket_;
  int listener_, wake_;
  std::list<Connection> connections_;  // the thread's alone
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // All below is guarded by mutex_.
  Script script_{""};
  size_t line_ = 0;
  std::string sent_;
  bool honest_ = true;
  bool hanging_up_ = false;
  bool ending_ = false;
};
