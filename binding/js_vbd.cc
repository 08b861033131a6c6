#include "js_vbd.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "js_vbd_pool.h"
#include "typed_array.h"

namespace xen_block_stats {

Napi::Function JsVbd::Define(Napi::Env env) {
  return DefineClass(env, "Vbd",
                     {
                         InstanceMethod<&JsVbd::Open>("open"),
                         InstanceMethod<&JsVbd::Read>("read"),
                         InstanceMethod<&JsVbd::Close>("close"),
                     });
}

JsVbd::JsVbd(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      pool_(JsVbdPool::From(info[0])),
      key_{info[1].As<Napi::Number>().Uint32Value(), info[2].As<Napi::Number>().Uint32Value(),
           info[3].As<Napi::Number>().Uint32Value()} {}

Napi::Value JsVbd::Open(const Napi::CallbackInfo& info) {
  vbd_ = pool_->Open(key_);
  return Napi::Number::New(info.Env(), vbd_->failure().Encoded());
}

Napi::Value JsVbd::Read(const Napi::CallbackInfo& info) {
  const TypedArray array(info[0]);
  const uint32_t counters = info[1].As<Napi::Number>().Uint32Value();
  const uint32_t offset = info[2].As<Napi::Number>().Uint32Value();
  const size_t length = size_t{offset} + kColumns;
  Failure failure{EINVAL, kCounters};
  if (double* doubles = array.Data<double>(length)) {
    failure = ReadInto(doubles + offset, counters);
  } else if (int64_t* integers = array.Data<int64_t>(length)) {
    failure = ReadInto(integers + offset, counters);
  }
  return Napi::Number::New(info.Env(), failure.Encoded());
}

template <typename Number>
Failure JsVbd::ReadInto(Number* row, CounterSet counters) {
  if (!vbd_) return {EBADF, kCounters};
  std::array<Number, kColumns> numbers;
  std::copy_n(row, numbers.size(), numbers.begin());
  const Failure failure = pool_->Read(vbd_.get(), counters, numbers.data());
  if (failure.error == 0) std::copy(numbers.begin(), numbers.end(), row);
  return failure;
}

}  // namespace xen_block_stats
