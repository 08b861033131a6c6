#include "notifier.h"

namespace xen_block_stats {

std::shared_ptr<Notifier> Notifier::Make(Napi::Env env, Napi::Function function) {
  auto notifier = std::make_shared<Notifier>();
  // When the environment ends, Node.js finalizes the function, possibly before Close(). Threads
  // that still run must not call it after that.
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<std::shared_ptr<Notifier>> finalized(
        static_cast<std::shared_ptr<Notifier>*>(data));
    std::lock_guard<std::mutex> lock((*finalized)->mutex_);
    (*finalized)->function_ = nullptr;
  };
  constexpr size_t kMaxQueueSize = 1;
  constexpr size_t kThreads = 1;
  auto finalize_data = std::make_unique<std::shared_ptr<Notifier>>(notifier);
  const napi_status status = napi_create_threadsafe_function(
      env, function, nullptr, Napi::String::New(env, "xen-block-stats"), kMaxQueueSize, kThreads,
      finalize_data.get(), finalize, nullptr, nullptr, &notifier->function_);
  if (status != napi_ok) return nullptr;
  finalize_data.release();
  napi_unref_threadsafe_function(env, notifier->function_);
  return notifier;
}

void Notifier::Notify() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (function_ != nullptr)
    napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Notifier::KeepAlive(Napi::Env env, bool alive) {
  if (function_ == nullptr) return;
  if (alive) {
    napi_ref_threadsafe_function(env, function_);
  } else {
    napi_unref_threadsafe_function(env, function_);
  }
}

void Notifier::Close() {
  std::unique_lock<std::mutex> lock(mutex_);
  const napi_threadsafe_function function = function_;
  function_ = nullptr;
  lock.unlock();
  if (function != nullptr) napi_release_threadsafe_function(function, napi_tsfn_abort);
}

}  // namespace xen_block_stats
