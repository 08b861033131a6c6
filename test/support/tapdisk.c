/*
 * The statistics of a tapdisk process, made as tapdisk makes them (drivers/tapdisk-metrics.c in
 * xapi-project/blktap): tapdisk SHM DOMID DEVID. Commands on standard input, a line each; it prints
 * "ok" after each one, and first its pid.
 *
 *   set OFFSET VALUE    sets a field
 *   version VALUE       sets the version
 *   unlink              removes the file
 *   create              makes it anew
 *   truncate LENGTH     changes its length
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[4096];
static int file = -1;
static char *memory;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void create(void) {
  if ((file = open(path, O_CREAT | O_TRUNC | O_RDWR | O_EXCL, S_IRUSR | S_IWUSR)) < 0) fail(path);
  if (ftruncate(file, 4096) != 0) fail("ftruncate");
  memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) fail("mmap");
  *(uint32_t *)memory = 1;
}

int main(int argc, char **argv) {
  char directory[2048], line[256];
  if (argc != 4) return 2;
  snprintf(directory, sizeof(directory), "%s/td3-%d", argv[1], (int)getpid());
  snprintf(path, sizeof(path), "%s/vbd-%s-%s", directory, argv[2], argv[3]);
  if (mkdir(directory, S_IRWXU) != 0) fail(directory);
  create();
  printf("%d\n", (int)getpid());
  fflush(stdout);
  while (fgets(line, sizeof(line), stdin) != NULL) {
    unsigned offset;
    uint64_t value;
    if (sscanf(line, "set %u %" SCNu64, &offset, &value) == 2) {
      *(volatile uint64_t *)(memory + offset) = value;
    } else if (sscanf(line, "version %" SCNu64, &value) == 1) {
      *(volatile uint32_t *)memory = (uint32_t)value;
    } else if (sscanf(line, "truncate %" SCNu64, &value) == 1) {
      if (ftruncate(file, (off_t)value) != 0) fail("ftruncate");
    } else if (strcmp(line, "unlink\n") == 0) {
      munmap(memory, 4096);
      close(file);
      unlink(path);
    } else if (strcmp(line, "create\n") == 0) {
      create();
    } else {
      return 2;
    }
    printf("ok\n");
    fflush(stdout);
  }
  unlink(path);
  rmdir(directory);
  return 0;
}
