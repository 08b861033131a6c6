// Requests through libxenstore the nodes that domains() and disks(), or diskSet(), request: the
// floor of these calls. Prints nanoseconds.
//
//   discovery disks|set     XENSTORED_PATH: the socket of xenstored

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenstore.h>

#define BACKENDS "/local/domain/0/backend/vbd"

static const char *const NODES[] = {"dev",     "params",      "tapdisk-params",
                                    "mode",    "device-type", "state",
                                    "sectors", "sector-size", "physical-sector-size"};

static struct xs_handle *xenstore;

static void read_node(const char *format, const char *a, const char *b, const char *c) {
  char path[256];
  unsigned length;
  snprintf(path, sizeof(path), format, a, b, c);
  free(xs_read(xenstore, XBT_NULL, path, &length));
}

static char **list(const char *format, const char *domid, unsigned *count) {
  char path[256];
  *count = 0;
  snprintf(path, sizeof(path), format, domid);
  return xs_directory(xenstore, XBT_NULL, path, count);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  const int is_set = strcmp(argv[1], "set") == 0;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  xenstore = xs_daemon_open_readonly();
  if (xenstore == NULL) return 1;
  unsigned domains = 0, kinds, disks, others;
  char **domids = list(is_set ? BACKENDS : "/local/domain", "", &domains);
  if (!is_set) free(list("/local/domain/0/backend", "", &kinds));
  for (unsigned i = 0; i < domains; i++) {
    read_node("/local/domain/%s/name", domids[i], "", "");
    read_node("/local/domain/%s/vm", domids[i], "", "");
    char **devids = list(BACKENDS "/%s", domids[i], &disks);
    if (!is_set) {  // disks that another domain serves
      free(list("/libxl/%s/device/vbd", domids[i], &others));
      free(list("/libxl/%s/device/virtio_disk", domids[i], &others));
    }
    for (unsigned j = 0; j < disks; j++) {
      for (size_t k = 0; k < sizeof(NODES) / sizeof(NODES[0]); k++) {
        read_node(BACKENDS "/%s/%s/%s", domids[i], devids[j], NODES[k]);
      }
    }
    free(devids);
  }
  free(domids);
  xs_close(xenstore);
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%f\n", (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec));
  return 0;
}
