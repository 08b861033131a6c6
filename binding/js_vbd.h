#pragma once

#include <napi.h>

#include <memory>

#include "vbd_pool.h"

namespace xen_block_stats {

// The JavaScript class Vbd. lib/native.ts describes its methods.
class JsVbd : public Napi::ObjectWrap<JsVbd> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsVbd(const Napi::CallbackInfo& info);

 private:
  Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  // Reads into a row. Writes nothing when it fails.
  template <typename Number>
  Failure ReadInto(Number* row, CounterSet counters);
  void Close(const Napi::CallbackInfo&) { vbd_.reset(); }

  const std::shared_ptr<VbdPool> pool_;
  const VbdPool::Key key_;
  std::shared_ptr<Vbd> vbd_;  // null while it is closed
};

}  // namespace xen_block_stats
