#include "thread.h"

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "glibc_compat.h"

namespace xen_block_stats {

bool StartThread(std::function<void()> run) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // The thread inherits the mask, and so do the threads that libxenstore starts from it.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  try {
    std::thread(std::move(run)).detach();
  } catch (const std::system_error&) {
    error = EAGAIN;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return error == 0;
}

}  // namespace xen_block_stats
