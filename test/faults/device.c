// A device that is read and written as the kernel's xenbus device is: a pseudo-terminal whose other
// end speaks to xenstored's socket. Argument: the socket. Prints the device's path.

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static void check(int result, const char *what) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
}

static void relay(int from, int to) {
  char bytes[4096];
  ssize_t size = read(from, bytes, sizeof(bytes));
  if (size <= 0) exit(0);
  for (ssize_t sent = 0; sent < size;) {
    ssize_t count = write(to, bytes + sent, (size_t)(size - sent));
    check((int)count, "write");
    sent += count;
  }
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  check(master, "posix_openpt");
  check(grantpt(master), "grantpt");
  check(unlockpt(master), "unlockpt");
  // held open, so that the device is there before and after a client
  int device = open(ptsname(master), O_RDWR | O_NOCTTY);
  check(device, ptsname(master));
  struct termios raw;
  check(tcgetattr(device, &raw), "tcgetattr");
  cfmakeraw(&raw);
  check(tcsetattr(device, TCSANOW, &raw), "tcsetattr");

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
  int daemon = socket(AF_UNIX, SOCK_STREAM, 0);
  check(connect(daemon, (struct sockaddr *)&address, sizeof(address)), argv[1]);
  puts(ptsname(master));
  fflush(stdout);

  for (;;) {
    struct pollfd ends[] = {{.fd = master, .events = POLLIN}, {.fd = daemon, .events = POLLIN}};
    check(poll(ends, 2, -1), "poll");
    if (ends[0].revents != 0) relay(master, daemon);
    if (ends[1].revents != 0) relay(daemon, master);
  }
}
