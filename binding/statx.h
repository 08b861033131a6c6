#pragma once

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef STATX_TYPE
#include <linux/stat.h>  // musl declares struct statx since 1.2.5
#endif

namespace xen_block_stats {

// Calls statx(2). A binary that called the function of libc would need glibc 2.28 or musl 1.2.5.
inline int Statx(int directory, const char* path, int flags, unsigned mask, struct statx* status) {
  return static_cast<int>(syscall(SYS_statx, directory, path, flags, mask, status));
}

}  // namespace xen_block_stats
