// The floor: the least time in which a program can read the counters of disks. It reads them from
// descriptors that stay open, and parses them. The process has a second thread, because Node.js has
// several, and the kernel takes longer to look up a descriptor in a process with threads.
//
// It is also built as a library, which is called through koffi. As a program it opens the disks of
// one backend:
//
//   floor blkback DEVICES DISKS [BLOCK]
//   floor tapdisk FILE...    see floor_tapdisk.c
//   floor qemu SOCKET        see floor_qemu.c
//
// DEVICES has DISKS disks of test/support/linked-disks.ts. BLOCK has their backing devices, those
// of backends.ts. Each line of its input is a command, with the number of disks and of counters
// that are read (of blkback, 7 or fewer, or 8: all, and the backing device):
//
//   mean DISKS COUNTERS ROUNDS       prints the nanoseconds for one disk, of ROUNDS rounds
//   latency DISKS COUNTERS ROUNDS    prints the nanoseconds of each round, and whether the kernel
//                                    took the processor away in its hundred
//   ticks DISKS COUNTERS INTERVAL    reads once in INTERVAL nanoseconds for three seconds, on
//                                    another thread; prints the share of ticks that were on time,
//                                    and the nanoseconds of processor time for one disk

#define _GNU_SOURCE  // for RUSAGE_THREAD

#include "floor.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define COUNTERS 7
#define BACKING_NUMBERS 17

static const char *const FILES[COUNTERS] = {"rd_req", "rd_sect", "wr_req", "wr_sect",
                                            "oo_req", "f_req",   "ds_req"};

static int (*descriptors)[COUNTERS];
static int *backing_descriptors;

int floor_open(const char *devices, int disks) {
  descriptors = malloc(sizeof(*descriptors) * disks);
  for (int disk = 0; disk < disks; disk++) {
    for (int i = 0; i < COUNTERS; i++) {
      char path[512];
      snprintf(path, sizeof(path), "%s/vbd-1-%d/statistics/%s", devices,
               (1 << 28) + ((16 + disk) << 8), FILES[i]);
      descriptors[disk][i] = open(path, O_RDONLY | O_CLOEXEC);
      if (descriptors[disk][i] < 0) return -1;
    }
  }
  return 0;
}

int floor_read(int disk, int count, uint64_t *values) {
  for (int i = 0; i < count; i++) {
    char text[32];
    ssize_t length = pread(descriptors[disk][i], text, sizeof(text), 0);
    if (length < 0) return -1;
    uint64_t value = 0;
    for (ssize_t j = 0; j < length && text[j] != '\n'; j++) value = value * 10 + (text[j] - '0');
    values[i] = value;
  }
  return 0;
}

static int open_backing(const char *block, int disks) {
  backing_descriptors = malloc(sizeof(*backing_descriptors) * disks);
  for (int disk = 0; disk < disks; disk++) {
    char path[512];
    snprintf(path, sizeof(path), "%s/4095:%d/stat", block, disk);
    backing_descriptors[disk] = open(path, O_RDONLY | O_CLOEXEC);
    if (backing_descriptors[disk] < 0) return -1;
  }
  return 0;
}

static int read_backing(int disk, uint64_t *values) {
  char text[512];
  ssize_t length = pread(backing_descriptors[disk], text, sizeof(text), 0);
  if (length < 0) return -1;
  ssize_t j = 0;
  for (int i = 0; i < BACKING_NUMBERS; i++) {
    uint64_t value = 0;
    while (j < length && text[j] == ' ') j++;
    for (; j < length && text[j] >= '0'; j++) value = value * 10 + (text[j] - '0');
    values[i] = value;
  }
  return 0;
}

static int open_blkback(int argc, char **argv) {
  if (argc != 2 && argc != 3) return -1;
  int disks = atoi(argv[1]);
  if (argc == 3 && open_backing(argv[2], disks) < 0) return -1;
  return floor_open(argv[0], disks);
}

static int read_blkback(int disk, int count, uint64_t *values) {
  if (count <= COUNTERS) return floor_read(disk, count, values);
  if (floor_read(disk, COUNTERS, values) < 0) return -1;
  return read_backing(disk, values + COUNTERS);
}

static const struct floor_backend blkback = {"blkback", open_blkback, read_blkback};
static const struct floor_backend *const BACKENDS[] = {&blkback, &floor_tapdisk, &floor_qemu};
static const struct floor_backend *backend;

static void *sleep_for_ever(void *nothing) {
  for (;;) pause();
  return nothing;
}

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void read_all(int disks, int count) {
  uint64_t values[FLOOR_VALUES];
  for (int disk = 0; disk < disks; disk++) {
    if (backend->read(disk, count, values) < 0) exit(1);
  }
}

static void print_mean(int disks, int count, int rounds) {
  int64_t start = 0;
  for (int i = -rounds / 2 - 1; i < rounds; i++) {
    if (i == 0) start = now(CLOCK_MONOTONIC);
    read_all(disks, count);
  }
  printf("%f\n", (now(CLOCK_MONOTONIC) - start) / ((double)rounds * disks));
}

static long involuntary_switches(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

static void print_latencies(int disks, int count, int rounds) {
  int64_t times[100];
  for (int i = 0; i < rounds / 100; i++) {
    long before = involuntary_switches();
    for (int j = 0; j < 100; j++) {
      int64_t start = now(CLOCK_MONOTONIC);
      read_all(disks, count);
      times[j] = now(CLOCK_MONOTONIC) - start;
    }
    int disturbed = involuntary_switches() != before;
    for (int j = 0; j < 100; j++) printf("%ld:%d ", (long)times[j], disturbed);
  }
  printf("\n");
}

struct ticks {
  int disks, count, interval;
  int64_t ticks, on_time, reads, cpu;
};

static void *run_ticks(void *argument) {
  struct ticks *it = argument;
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  int64_t due = now(CLOCK_MONOTONIC), end = due + INT64_C(3000000000);
  for (; due < end; due += it->interval) {
    struct timespec time = {due / 1000000000, due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0) continue;
    int64_t passed = (now(CLOCK_MONOTONIC) - due) / it->interval;
    it->ticks += 1 + passed;
    due += passed * it->interval;
    it->on_time += passed == 0 && now(CLOCK_MONOTONIC) - due < it->interval / 2;
    read_all(it->disks, it->count);
    it->reads++;
  }
  it->cpu = now(CLOCK_THREAD_CPUTIME_ID);
  return NULL;
}

static void print_ticks(int disks, int count, int interval) {
  struct ticks ticks = {disks, count, interval, 0, 0, 0, 0};
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_ticks, &ticks) != 0) exit(1);
  pthread_join(thread, NULL);
  printf("%f %f\n", (double)ticks.on_time / ticks.ticks,
         (double)ticks.cpu / ((double)ticks.reads * disks));
}

int main(int argc, char **argv) {
  pthread_t thread;
  char command[16];
  int disks, count, number;
  if (argc < 2) return 1;
  for (size_t i = 0; i < sizeof(BACKENDS) / sizeof(BACKENDS[0]); i++) {
    if (strcmp(argv[1], BACKENDS[i]->name) == 0) backend = BACKENDS[i];
  }
  if (backend == NULL || backend->open(argc - 2, argv + 2) < 0) return 1;
  if (pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0) return 1;
  while (scanf("%15s %d %d %d", command, &disks, &count, &number) == 4) {
    if (strcmp(command, "mean") == 0) print_mean(disks, count, number);
    if (strcmp(command, "latency") == 0) print_latencies(disks, count, number);
    if (strcmp(command, "ticks") == 0) print_ticks(disks, count, number);
    fflush(stdout);
  }
  return 0;
}
