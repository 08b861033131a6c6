// Registers what the addon exports: lib/native.ts describes it as the interface Native.

#include <napi.h>
#include <sys/resource.h>

#include <array>
#include <cstddef>

#include "backing_statistics.h"
#include "deadline.h"
#include "js_backing_device.h"
#include "js_recorder.h"
#include "js_vbd.h"
#include "js_vbd_pool.h"
#include "js_vbd_set.h"
#include "js_xenstore_client.h"
#include "vbd_statistics.h"

namespace xen_block_stats {
namespace {

// Returns how many files this process may have open (RLIMIT_NOFILE, the soft limit).
Napi::Value OpenFilesLimit(const Napi::CallbackInfo& info) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_cur));
}

// Returns the time of CLOCK_MONOTONIC, in nanoseconds, as a bigint.
Napi::Value MonotonicTime(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), Deadline::NowNanoseconds());
}

// Converts names to a JavaScript array of strings.
template <size_t length>
Napi::Array ToValue(Napi::Env env, const std::array<const char*, length>& names) {
  Napi::Array array = Napi::Array::New(env, length);
  for (uint32_t i = 0; i < length; ++i) array.Set(i, Napi::String::New(env, names[i]));
  return array;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports["BackingDevice"] = JsBackingDevice::Define(env);
  exports["Recorder"] = JsRecorder::Define(env);
  exports["Vbd"] = JsVbd::Define(env);
  exports["VbdPool"] = JsVbdPool::Define(env);
  exports["VbdSet"] = JsVbdSet::Define(env);
  exports["XenstoreClient"] = JsXenstoreClient::Define(env);
  exports["counterFiles"] = ToValue(env, CounterFiles());
  exports["backingColumns"] = ToValue(env, BackingColumnNames());
  exports["columns"] = ToValue(env, ColumnNames());
  exports["monotonicTime"] = Napi::Function::New<MonotonicTime>(env, "monotonicTime");
  exports["openFilesLimit"] = Napi::Function::New<OpenFilesLimit>(env, "openFilesLimit");
  return exports;
}

}  // namespace

NODE_API_MODULE(xen_block_stats, Init)

}  // namespace xen_block_stats
