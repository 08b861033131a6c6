#pragma once

#include <napi.h>

#include "vbd_set.h"

namespace xen_block_stats {

// The JavaScript class VbdSet. lib/native.ts describes its methods.
class JsVbdSet : public Napi::ObjectWrap<JsVbdSet> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsVbdSet(const Napi::CallbackInfo& info);

  // Returns the set of a JavaScript object of this class.
  static VbdSet& From(const Napi::Value& value) { return Unwrap(value.As<Napi::Object>())->set_; }

 private:
  void Prepare(const Napi::CallbackInfo& info);
  void Discard(const Napi::CallbackInfo& info);
  Napi::Value Assign(const Napi::CallbackInfo& info);
  Napi::Value Sample(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo&) { set_.Close(); }

  VbdSet set_;
};

}  // namespace xen_block_stats
