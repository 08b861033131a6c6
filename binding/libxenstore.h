#pragma once

extern "C" {
#include <xenstore.h>
}

namespace xen_block_stats {

// The functions of libxenstore that the addon calls, with the types of <xenstore.h>. The library is
// loaded at run time, so that one binary loads on every machine, with or without libxenstore.
struct Libxenstore {
  decltype(&xs_daemon_open_readonly) open_readonly;
  decltype(&xs_close) close;
  decltype(&xs_read) read;
  decltype(&xs_directory) directory;
  decltype(&xs_watch) watch;
  decltype(&xs_unwatch) unwatch;
  decltype(&xs_fileno) fileno;
  decltype(&xs_check_watch) check_watch;

  // Loads the library with the first call, and never unloads it: a thread may be in it at any time.
  // Returns null if it is not installed, or, with errno EMFILE or ENFILE, if no descriptor was free
  // to read it.
  static const Libxenstore* Load();
};

}  // namespace xen_block_stats
