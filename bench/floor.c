// The floor: the least time in which a program can read the counters of disks. It reads them from
// descriptors that stay open, and parses them. The process has a second thread, because Node.js has
// several, and the kernel takes longer to look up a descriptor in a process with threads.
//
// It is also built as a library, which is called through koffi. As a program, floor DEVICES DISKS
// opens DISKS disks of bench/disks.ts. For each line of its input
//
//   DISKS COUNTERS ROUNDS     COUNTERS: 7, or 5 or 6 for libvirt's two calls
//
// it prints the nanoseconds for one disk.

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COUNTERS 7

static const char *const FILES[COUNTERS] = {"rd_req", "rd_sect", "wr_req", "wr_sect",
                                            "oo_req", "f_req",   "ds_req"};

static int (*descriptors)[COUNTERS];

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

static void *sleep_for_ever(void *nothing) {
  for (;;) pause();
  return nothing;
}

int main(int argc, char **argv) {
  pthread_t thread;
  struct timespec start, end;
  int disks, count, rounds;
  if (argc != 3 || floor_open(argv[1], atoi(argv[2])) < 0) return 1;
  uint64_t(*values)[COUNTERS] = malloc(sizeof(*values) * atoi(argv[2]));
  if (pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0) return 1;
  while (scanf("%d %d %d", &disks, &count, &rounds) == 3) {
    for (int i = -rounds / 2 - 1; i < rounds; i++) {
      if (i == 0) clock_gettime(CLOCK_MONOTONIC, &start);
      for (int disk = 0; disk < disks; disk++) {
        if (floor_read(disk, count, values[disk]) < 0) return 1;
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) /
                       ((double)rounds * disks));
    fflush(stdout);
  }
  return 0;
}
