#pragma once

#include <napi.h>

#include <memory>

#include "notifier.h"
#include "xenstore_client.h"

namespace xen_block_stats {

// The JavaScript class XenstoreClient. lib/native.ts describes its methods.
class JsXenstoreClient : public Napi::ObjectWrap<JsXenstoreClient> {
 public:
  // Returns the constructor.
  static Napi::Function Define(Napi::Env env);

  explicit JsXenstoreClient(const Napi::CallbackInfo& info);
  ~JsXenstoreClient() override { Close(); }

 private:
  Napi::Value Request(const Napi::CallbackInfo& info);
  void Post(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Changes(const Napi::CallbackInfo& info);
  Napi::Value GiveUp(const Napi::CallbackInfo& info);
  void KeepAlive(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo&) { Close(); }
  void Close();

  std::shared_ptr<Notifier> notifier_;      // null if the client does not post
  std::unique_ptr<XenstoreClient> client_;  // null after Close()
};

}  // namespace xen_block_stats
