#include "js_recorder.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "js_vbd_set.h"
#include "typed_array.h"

namespace xen_block_stats {
namespace {

using Frames = std::vector<Recorder::Frame*>;

// Groups frames by their rows: a run ends where the generation changes.
std::vector<Frames> ToRuns(const std::vector<Recorder::Slice>& slices) {
  std::vector<Frames> runs;
  for (const Recorder::Slice& slice : slices) {
    for (size_t offset = slice.begin; offset < slice.end;) {
      Recorder::Frame* frame = slice.block->At(offset);
      offset += frame->size();
      if (runs.empty() || runs.back().front()->generation != frame->generation) runs.push_back({});
      runs.back().push_back(frame);
    }
  }
  return runs;
}

// Copies the numbers of frames, one after the other, into a new typed array.
template <typename Array, typename Number>
Array CopyNumbers(Napi::Env env, const Frames& frames) {
  const size_t numbers = size_t{frames.front()->rows} * kColumns;
  Array array = Array::New(env, frames.size() * numbers);
  // An array without elements may have no memory.
  Number* target = TypedArray(array).template Data<Number>(frames.size() * numbers);
  for (Recorder::Frame* frame : frames) {
    target = std::transform(frame->numbers(), frame->numbers() + numbers, target,
                            [](int64_t number) { return static_cast<Number>(number); });
  }
  return array;
}

Napi::Object ToObject(Napi::Env env, const Frames& frames, bool bigint) {
  Napi::BigInt64Array timestamps = Napi::BigInt64Array::New(env, frames.size());
  for (size_t i = 0; i < frames.size(); ++i) timestamps[i] = frames[i]->timestamp;
  Napi::Object run = Napi::Object::New(env);
  run["generation"] = Napi::Number::New(env, frames.front()->generation);
  run["timestamps"] = timestamps;
  if (bigint) {
    run["values"] = CopyNumbers<Napi::BigInt64Array, int64_t>(env, frames);
  } else {
    run["values"] = CopyNumbers<Napi::Float64Array, double>(env, frames);
  }
  return run;
}

}  // namespace

Napi::Function JsRecorder::Define(Napi::Env env) {
  return DefineClass(env, "Recorder",
                     {
                         InstanceMethod<&JsRecorder::Start>("start"),
                         InstanceMethod<&JsRecorder::Take>("take"),
                         InstanceMethod<&JsRecorder::Missed>("missed"),
                         InstanceMethod<&JsRecorder::Overwritten>("overwritten"),
                         InstanceMethod<&JsRecorder::Stop>("stop"),
                     });
}

JsRecorder::~JsRecorder() {
  if (recorder_) recorder_->Stop();
}

Napi::Value JsRecorder::Start(const Napi::CallbackInfo& info) {
  VbdSet& set = JsVbdSet::From(info[0]);
  const int64_t interval = info[1].As<Napi::Number>().Int64Value();
  const auto capacity = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
  recorder_ = set.Record(interval, capacity);
  return Napi::Number::New(info.Env(), recorder_ ? 0 : errno);
}

Napi::Value JsRecorder::Take(const Napi::CallbackInfo& info) {
  const bool bigint = info[0].As<Napi::Boolean>().Value();
  std::vector<Recorder::Slice> slices = recorder_->Take();
  const std::vector<Frames> runs = ToRuns(slices);
  Napi::Array array = Napi::Array::New(info.Env(), runs.size());
  for (uint32_t i = 0; i < runs.size(); ++i) array[i] = ToObject(info.Env(), runs[i], bigint);
  recorder_->Recycle(std::move(slices));
  return array;
}

Napi::Value JsRecorder::Missed(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(recorder_->missed()));
}

Napi::Value JsRecorder::Overwritten(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(recorder_->overwritten()));
}

void JsRecorder::Stop(const Napi::CallbackInfo&) { recorder_->Stop(); }

}  // namespace xen_block_stats
