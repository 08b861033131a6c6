#pragma once

#include <napi.h>

#include <memory>

#include "recorder.h"

namespace xen_block_stats {

// The JavaScript class Recorder. lib/native.ts describes its methods.
class JsRecorder : public Napi::ObjectWrap<JsRecorder> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsRecorder(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~JsRecorder();

 private:
  Napi::Value Start(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Missed(const Napi::CallbackInfo& info);
  Napi::Value Overwritten(const Napi::CallbackInfo& info);
  void Stop(const Napi::CallbackInfo&);

  std::shared_ptr<Recorder> recorder_;  // null before it is started
};

}  // namespace xen_block_stats
