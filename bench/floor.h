// What floor.c can read: the disks of a backend, from descriptors that stay open, or with a query.

#pragma once

#include <stdint.h>

// The longest row of a disk: seven counters of blkback and the 17 numbers of its backing device.
#define FLOOR_VALUES 24

struct floor_backend {
  const char *name;
  // Opens what the arguments of the command line name. Returns 0, or -1 on failure.
  int (*open)(int argc, char **argv);
  // Reads a disk. Returns 0, or -1 on failure.
  int (*read)(int disk, int count, uint64_t *values);
};

// tapdisk FILE...: one tapdisk's file td3-PID/vbd-DOMID-DEVID for each disk.
extern const struct floor_backend floor_tapdisk;

// qemu SOCKET: the monitor of a QEMU, of all whose disks a read gets the statistics.
extern const struct floor_backend floor_qemu;
