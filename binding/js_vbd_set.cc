#include "js_vbd_set.h"

#include <algorithm>
#include <vector>

#include "deadline.h"
#include "js_vbd_pool.h"
#include "typed_array.h"

namespace xen_block_stats {
namespace {

// Converts a Uint32Array with three numbers for each vbd: domid, devid and the pid of its tapdisk.
std::vector<VbdSet::Key> ToKeys(const Napi::Value& value) {
  const Napi::Uint32Array array = value.As<Napi::Uint32Array>();
  std::vector<VbdSet::Key> keys;
  keys.reserve(array.ElementLength() / 3);
  for (size_t i = 0; i + 2 < array.ElementLength(); i += 3) {
    keys.push_back({array[i], array[i + 1], array[i + 2]});
  }
  return keys;
}

}  // namespace

Napi::Function JsVbdSet::Define(Napi::Env env) {
  return DefineClass(env, "VbdSet",
                     {
                         InstanceMethod<&JsVbdSet::Prepare>("prepare"),
                         InstanceMethod<&JsVbdSet::Discard>("discard"),
                         InstanceMethod<&JsVbdSet::Assign>("assign"),
                         InstanceMethod<&JsVbdSet::Sample>("sample"),
                         InstanceMethod<&JsVbdSet::Close>("close"),
                     });
}

JsVbdSet::JsVbdSet(const Napi::CallbackInfo& info)
    : ObjectWrap(info), set_(JsVbdPool::From(info[0]), info[1].As<Napi::Number>().Uint32Value()) {}

void JsVbdSet::Prepare(const Napi::CallbackInfo& info) { set_.Prepare(ToKeys(info[0])); }

void JsVbdSet::Discard(const Napi::CallbackInfo& info) { set_.Discard(ToKeys(info[0])); }

Napi::Value JsVbdSet::Assign(const Napi::CallbackInfo& info) {
  const std::vector<VbdSet::Key> rows = ToKeys(info[0]);
  std::vector<uint32_t> reopened(rows.size());
  const uint32_t generation = set_.Assign(rows, reopened.data());
  uint32_t* flags = TypedArray(info[1]).Data<uint32_t>(rows.size());
  if (flags != nullptr) std::copy(reopened.begin(), reopened.end(), flags);
  return Napi::Number::New(info.Env(), generation);
}

Napi::Value JsVbdSet::Sample(const Napi::CallbackInfo& info) {
  const TypedArray array(info[0]);
  double* doubles = array.Data<double>(set_.size() * kColumns);
  int64_t* integers = array.Data<int64_t>(set_.size() * kColumns);
  uint32_t* failures = TypedArray(info[1]).Data<uint32_t>(set_.size());
  int64_t* clock = TypedArray(info[2]).Data<int64_t>(2);
  // The memory of an array without elements is null, which suffices for a set without rows.
  const bool has_room = set_.size() == 0 || (failures != nullptr && (doubles || integers));
  if (!has_room || clock == nullptr) return Napi::Number::New(info.Env(), -1);
  clock[1] = clock[0];
  clock[0] = Deadline::NowNanoseconds();
  const size_t failed =
      integers != nullptr ? set_.Sample(integers, failures) : set_.Sample(doubles, failures);
  return Napi::Number::New(info.Env(), static_cast<double>(failed));
}

}  // namespace xen_block_stats
