// The least that a read of a disk of tapdisk can do: one pread of its statistics, then the checks
// that the file still has a name (statx) and that the process still runs (poll of a pidfd).

#define _GNU_SOURCE  // for statx

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "floor.h"

#define WORDS 12  // the version and the numbers, of 8 bytes each

static struct { int file, process; } * disks;

static int open_disks(int argc, char **argv) {
  disks = malloc(sizeof(*disks) * argc);
  for (int i = 0; i < argc; i++) {
    const char *directory = strstr(argv[i], "/td3-");
    int pid;
    if (directory == NULL || sscanf(directory, "/td3-%d/", &pid) != 1) return -1;
    disks[i].file = open(argv[i], O_RDONLY | O_CLOEXEC);
    disks[i].process = syscall(SYS_pidfd_open, pid, 0);
    if (disks[i].file < 0 || disks[i].process < 0) return -1;
  }
  return 0;
}

static int read_disk(int disk, int count, uint64_t *values) {
  (void)count;  // the file is always read as a whole
  uint64_t words[WORDS];
  struct statx status;
  struct pollfd process = {disks[disk].process, POLLIN, 0};
  if (pread(disks[disk].file, words, sizeof(words), 0) != sizeof(words)) return -1;
  if (statx(disks[disk].file, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_NLINK, &status) < 0)
    return -1;
  if (status.stx_nlink == 0 || poll(&process, 1, 0) != 0 || (uint32_t)words[0] != 1) return -1;
  memcpy(values, words + 1, sizeof(words) - sizeof(words[0]));
  return 0;
}

const struct floor_backend floor_tapdisk = {"tapdisk", open_disks, read_disk};
