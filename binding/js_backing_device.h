#pragma once

#include <napi.h>

#include "backing_statistics.h"

namespace xen_block_stats {

// The JavaScript class BackingDevice. lib/native.ts describes its methods.
class JsBackingDevice : public Napi::ObjectWrap<JsBackingDevice> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsBackingDevice(const Napi::CallbackInfo& info);

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo&) { device_.Close(); }

  BackingDevice device_;
};

}  // namespace xen_block_stats
