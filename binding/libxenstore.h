#pragma once

#include <xenstore.h>

#include <string>

namespace xen_block_stats {

// The functions of libxenstore. It is found at run time, so that one binary loads everywhere.
struct Libxenstore {
  decltype(&xs_open) open;
  decltype(&xs_close) close;
  decltype(&xs_read) read;
  decltype(&xs_directory) directory;
  decltype(&xs_watch) watch;
  decltype(&xs_unwatch) unwatch;
  decltype(&xs_read_watch) read_watch;

  // Null where it is not installed. Once loaded it stays: threads may be in it.
  static const Libxenstore* Load();

  // Has whoever is in libxenstore, waiting for this connection's daemon, come back with an error.
  // Only a connection by a socket can be interrupted.
  static void Interrupt(int descriptor);

  // The descriptor of a connection; -1 if it cannot be told.
  static int DescriptorOf(const xs_handle* handle);

  // A new connection to the socket, or, if that is empty, to where libxenstore looks by itself.
  // Null, with errno, if there is none to be had.
  xs_handle* Connect(const std::string& socket) const;
};

}  // namespace xen_block_stats
