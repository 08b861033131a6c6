#pragma once

#include <napi.h>

#include <memory>
#include <mutex>

namespace xen_block_stats {

// Has a JavaScript function called, from any thread, as long as its environment lives: once for any
// number of notifications that come before it runs. It does not keep the process alive, unless
// told.
class Notifier {
 public:
  static std::shared_ptr<Notifier> Make(Napi::Env env, Napi::Function function);

  // From any thread.
  void Notify();

  // The following are for the environment's thread.
  void KeepAlive(Napi::Env env, bool alive);
  void Close();

 private:
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;  // null when it is closed
};

}  // namespace xen_block_stats
