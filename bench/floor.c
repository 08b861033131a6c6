// The floor: what any program pays for a disk's counters. It reads them from descriptors that stay
// open and parses them, in a process with a second thread (which makes every look-up of a
// descriptor dearer, and which Node.js always has). As a program it prints nanoseconds for one
// disk; as a library it is called through koffi.
//
//   floor FOLDER COUNTERS ROUNDS     COUNTERS: 7, or 5 or 6 as libvirt's two calls

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *const FILES[] = {"rd_req", "rd_sect", "wr_req", "wr_sect",
                                    "oo_req", "f_req",   "ds_req"};

static int descriptors[7];

int floor_open(const char *folder) {
  for (int i = 0; i < 7; i++) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, FILES[i]);
    descriptors[i] = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptors[i] < 0) return -1;
  }
  return 0;
}

int floor_read(int count, uint64_t *values) {
  for (int i = 0; i < count; i++) {
    char text[32];
    ssize_t length = pread(descriptors[i], text, sizeof(text), 0);
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
  uint64_t values[7];
  struct timespec start, end;
  if (argc != 4 || floor_open(argv[1]) < 0) return 1;
  int count = atoi(argv[2]), rounds = atoi(argv[3]);
  if (count < 1 || count > 7 || pthread_create(&thread, NULL, sleep_for_ever, NULL) != 0) return 1;
  for (int i = 0; i < rounds / 10; i++) floor_read(count, values);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < rounds; i++) floor_read(count, values);
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%f\n", ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / rounds);
  return 0;
}
