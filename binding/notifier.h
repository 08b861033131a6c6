#pragma once

#include <napi.h>

#include <memory>
#include <mutex>

namespace xen_block_stats {

// Calls a JavaScript function on its event loop when any thread notifies, until the environment
// ends. Notifications that come before the function runs cause one call. Does not keep the process
// alive, except after KeepAlive(env, true).
class Notifier {
 public:
  // Returns null if Node-API cannot make a thread-safe function.
  static std::shared_ptr<Notifier> Make(Napi::Env env, Napi::Function function);

  // Schedules a call. For any thread; does nothing after Close().
  void Notify();

  // The following are for the JavaScript thread.

  // Sets whether the process stays alive for notifications.
  void KeepAlive(Napi::Env env, bool alive);
  // Ends notifications.
  void Close();

 private:
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;  // null after Close()
};

}  // namespace xen_block_stats
