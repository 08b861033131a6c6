#include "js_vbd_pool.h"

namespace xen_block_stats {

Napi::Function JsVbdPool::Define(Napi::Env env) {
  return DefineClass(env, "VbdPool", {InstanceMethod<&JsVbdPool::Close>("close")});
}

JsVbdPool::JsVbdPool(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      pool_(std::make_shared<VbdPool>(
          info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::String>().Utf8Value(),
          static_cast<size_t>(info[2].As<Napi::Number>().Int64Value()))) {}

}  // namespace xen_block_stats
