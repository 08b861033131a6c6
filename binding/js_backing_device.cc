#include "js_backing_device.h"

#include <algorithm>
#include <cerrno>

#include "js_vbd_pool.h"
#include "typed_array.h"

namespace xen_block_stats {

Napi::Function JsBackingDevice::Define(Napi::Env env) {
  return DefineClass(env, "BackingDevice",
                     {
                         InstanceMethod<&JsBackingDevice::Read>("read"),
                         InstanceMethod<&JsBackingDevice::Close>("close"),
                     });
}

JsBackingDevice::JsBackingDevice(const Napi::CallbackInfo& info)
    : ObjectWrap(info), device_(JsVbdPool::From(info[0]), info[1].As<Napi::String>().Utf8Value()) {}

Napi::Value JsBackingDevice::Read(const Napi::CallbackInfo& info) {
  const TypedArray array(info[0]);
  const uint32_t offset = info[1].As<Napi::Number>().Uint32Value();
  int error = EINVAL;
  if (double* numbers = array.Data<double>(size_t{offset} + kBackingColumns)) {
    BackingRow row;
    error = device_.Read(&row);
    if (error == 0) std::copy(row.begin(), row.end(), numbers + offset);
  }
  return Napi::Number::New(info.Env(), error);
}

}  // namespace xen_block_stats
