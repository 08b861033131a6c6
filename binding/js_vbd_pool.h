#pragma once

#include <napi.h>

#include <memory>

#include "vbd_pool.h"

namespace xen_block_stats {

// The JavaScript class VbdPool. lib/native.ts describes its methods.
class JsVbdPool : public Napi::ObjectWrap<JsVbdPool> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsVbdPool(const Napi::CallbackInfo& info);

  // Returns the pool of a JavaScript object of this class.
  static std::shared_ptr<VbdPool> From(const Napi::Value& value) {
    return Unwrap(value.As<Napi::Object>())->pool_;
  }

 private:
  void Close(const Napi::CallbackInfo&) { pool_->Close(); }

  std::shared_ptr<VbdPool> pool_;
};

}  // namespace xen_block_stats
