// What the addon exports: three classes, and the limit of open files.

#include <napi.h>
#include <sys/resource.h>

#include "js_vbd.h"
#include "js_vbd_set.h"
#include "js_xenstore_client.h"

namespace xen_block_stats {
namespace {

// How many files this process may have open.
Napi::Value OpenFilesLimit(const Napi::CallbackInfo& info) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_cur));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports["Vbd"] = JsVbd::Define(env);
  exports["VbdSet"] = JsVbdSet::Define(env);
  exports["XenstoreClient"] = JsXenstoreClient::Define(env);
  exports["openFilesLimit"] = Napi::Function::New<OpenFilesLimit>(env, "openFilesLimit");
  return exports;
}

}  // namespace

NODE_API_MODULE(xen_block_stats, Init)

}  // namespace xen_block_stats
