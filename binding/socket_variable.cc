#include "socket_variable.h"

#include <pthread.h>

#include <cstdlib>
#include <ctime>

#include "deadline.h"
#include "glibc_compat.h"

namespace xen_block_stats {
namespace {

constexpr const char* kName = "XENSTORED_PATH";

// Exclusive while a SocketVariable is set, shared by the readers.
pthread_rwlock_t variable_lock = PTHREAD_RWLOCK_INITIALIZER;

}  // namespace

SocketVariable::SocketVariable(const std::string& socket, double milliseconds) {
  timespec now;  // the clock of pthread_rwlock_timedwrlock
  clock_gettime(CLOCK_REALTIME, &now);
  const timespec until = Deadline(now, milliseconds).time;
  is_set_ = pthread_rwlock_timedwrlock(&variable_lock, &until) == 0;
  if (!is_set_) return;
  if (const char* before = getenv(kName)) before_ = before;
  setenv(kName, socket.c_str(), 1);
}

SocketVariable::~SocketVariable() {
  if (!is_set_) return;
  if (before_.has_value()) {
    setenv(kName, before_->c_str(), 1);
  } else {
    unsetenv(kName);
  }
  pthread_rwlock_unlock(&variable_lock);
}

SocketVariableReader::SocketVariableReader() { pthread_rwlock_rdlock(&variable_lock); }

SocketVariableReader::~SocketVariableReader() { pthread_rwlock_unlock(&variable_lock); }

}  // namespace xen_block_stats
