#include "libxenstore.h"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include "old_systems.h"

namespace xen_block_stats {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

std::optional<Libxenstore> Search() {
  // Xen 4.16 and later, 4.15 and earlier, and whatever a developer has.
  for (const char* name : {"libxenstore.so.4", "libxenstore.so.3.0", "libxenstore.so"}) {
    void* handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    Libxenstore it;
    if (handle != nullptr && Find(handle, "xs_open", &it.open) &&
        Find(handle, "xs_close", &it.close) && Find(handle, "xs_read", &it.read) &&
        Find(handle, "xs_directory", &it.directory) && Find(handle, "xs_watch", &it.watch) &&
        Find(handle, "xs_unwatch", &it.unwatch) && Find(handle, "xs_read_watch", &it.read_watch)) {
      return it;
    }
  }
  return std::nullopt;
}

// Whether it is a socket with a daemon at the other end.
bool IsUnixConnection(int descriptor) {
  sockaddr_un peer{};
  socklen_t length = sizeof(peer);
  return getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) == 0 &&
         peer.sun_family == AF_UNIX && length > offsetof(sockaddr_un, sun_path);
}

}  // namespace

void Libxenstore::Interrupt(int descriptor) {
  if (IsUnixConnection(descriptor)) shutdown(descriptor, SHUT_RDWR);
}

int Libxenstore::DescriptorOf(const xs_handle* handle) {
  // It is the first member in every release, and there is no function that tells it. If that should
  // change, this finds no connection there.
  int descriptor;
  std::memcpy(&descriptor, handle, sizeof(descriptor));
  return IsUnixConnection(descriptor) ? descriptor : -1;
}

const Libxenstore* Libxenstore::Load() {
  static std::mutex loading;
  static std::optional<Libxenstore> loaded;
  std::lock_guard<std::mutex> lock(loading);
  if (!loaded.has_value()) loaded = Search();
  return loaded.has_value() ? &*loaded : nullptr;
}

xs_handle* Libxenstore::Connect(const std::string& socket) const {
  // libxenstore knows a socket by the environment only, so XENSTORED_PATH is set for the moment of
  // the open, and nobody opens at the same moment.
  static std::mutex environment;
  std::lock_guard<std::mutex> lock(environment);
  if (socket.empty()) return open(XS_OPEN_READONLY);

  constexpr char kVariable[] = "XENSTORED_PATH";
  const char* value = getenv(kVariable);
  const std::optional<std::string> before =
      value == nullptr ? std::nullopt : std::optional<std::string>(value);
  setenv(kVariable, socket.c_str(), 1);
  xs_handle* handle = open(XS_OPEN_READONLY);
  const int error = errno;
  if (before.has_value()) {
    setenv(kVariable, before->c_str(), 1);
  } else {
    unsetenv(kVariable);
  }
  errno = error;
  return handle;
}

}  // namespace xen_block_stats
