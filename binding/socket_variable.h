#pragma once

#include <optional>
#include <string>

namespace xen_block_stats {

// The environment variable XENSTORED_PATH, set for one connection. The environment is the only way
// to tell libxenstore which socket to use. A connection to a given socket sets the variable on the
// JavaScript thread for as long as libxenstore opens it. xs_open does so without waiting for
// xenstored, unless xenstored hangs and others are waiting for it already. The connections to the
// default socket must not see the variable: they hold a SocketVariableReader meanwhile.
class SocketVariable {
 public:
  // Sets the variable. Waits for the readers at most this many milliseconds.
  SocketVariable(const std::string& socket, double milliseconds);
  // Restores the variable.
  ~SocketVariable();
  SocketVariable(const SocketVariable&) = delete;
  SocketVariable& operator=(const SocketVariable&) = delete;

  // Returns false if the readers took too long.
  bool is_set() const { return is_set_; }

 private:
  bool is_set_;
  std::optional<std::string> before_;  // what the process itself had set
};

// Keeps the variable as the process itself has set it. Waits while a SocketVariable is set.
class SocketVariableReader {
 public:
  SocketVariableReader();
  ~SocketVariableReader();
  SocketVariableReader(const SocketVariableReader&) = delete;
  SocketVariableReader& operator=(const SocketVariableReader&) = delete;
};

}  // namespace xen_block_stats
