#include "libxenstore.h"

#include <dlfcn.h>

#include <mutex>

#include "glibc_compat.h"

namespace xen_block_stats {
namespace {

// Xen 4.16 and later; Xen 4.14 and 4.15; any other version.
constexpr const char* kFileNames[] = {"libxenstore.so.4", "libxenstore.so.3.0", "libxenstore.so"};

// Finds a function of the library. Returns false if the library does not have it.
template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// Loads a library. Returns null if it cannot be loaded, or lacks a function.
const Libxenstore* LoadFile(const char* name) {
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  static Libxenstore found;
  const bool complete =
      Find(library, "xs_daemon_open_readonly", &found.open_readonly) &&
      Find(library, "xs_close", &found.close) && Find(library, "xs_read", &found.read) &&
      Find(library, "xs_directory", &found.directory) && Find(library, "xs_watch", &found.watch) &&
      Find(library, "xs_unwatch", &found.unwatch) && Find(library, "xs_fileno", &found.fileno) &&
      Find(library, "xs_check_watch", &found.check_watch);
  return complete ? &found : nullptr;
}

}  // namespace

const Libxenstore* Libxenstore::Load() {
  static std::mutex mutex;
  static const Libxenstore* loaded = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  for (const char* name : kFileNames) {
    if (loaded == nullptr) loaded = LoadFile(name);
  }
  return loaded;
}

}  // namespace xen_block_stats
