#pragma once

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "statx.h"

namespace xen_block_stats {

// Opens a file for reading without blocking, which a FIFO otherwise would. Retries after a signal.
// Returns -1, with errno, on failure.
inline int OpenForReading(const char* path) {
  int descriptor;
  do {
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// The file system, the inode and the time of birth of a file. A later file of the same path has
// another identity.
using FileIdentity = std::array<uint64_t, 5>;

// Gets the identity of an open file. Returns 0 or an errno.
inline int IdentifyFile(int descriptor, FileIdentity* identity) {
  struct statx status;  // fstat would need glibc 2.33
  if (Statx(descriptor, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) != 0) return errno;
  // sysfs has no time of birth and never uses an inode number twice. Other file systems reuse inode
  // numbers, and have a time of birth.
  if ((status.stx_mask & STATX_BTIME) == 0) status.stx_btime = {};
  *identity = {status.stx_dev_major, status.stx_dev_minor, status.stx_ino,
               static_cast<uint64_t>(status.stx_btime.tv_sec), status.stx_btime.tv_nsec};
  return 0;
}

}  // namespace xen_block_stats
