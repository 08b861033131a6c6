// What JavaScript can call. lib/native.ts describes it with types; nothing else calls it, so
// arguments are what it says. Nothing is thrown here: errors go back as numbers and words.

#include <napi.h>
#include <sys/resource.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "notifier.h"
#include "vbd_set.h"
#include "vbd_statistics.h"
#include "xenstore.h"

namespace xen_block_stats {
namespace {

// Set beside the counters: the row is read as 64-bit integers, not as doubles.
constexpr CounterSet kAsIntegers = 1u << kCounters;

using Operation = XenstoreLink::Operation;
using Outcome = XenstoreLink::Outcome;

const char* Word(Outcome outcome) {
  switch (outcome) {
    case Outcome::kConnectFailed:
      return "connect";
    case Outcome::kTimedOut:
      return "timeout";
    default:
      return "broken";
  }
}

std::vector<std::string> ToPaths(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> paths;
  paths.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    paths.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  }
  return paths;
}

Operation ToOperation(const Napi::Value& value) {
  return static_cast<Operation>(value.As<Napi::Number>().Int32Value());
}

// Two numbers for each vbd: domid and devid.
std::vector<VbdSet::Key> ToKeys(const Napi::Value& value) {
  const Napi::Uint32Array array = value.As<Napi::Uint32Array>();
  std::vector<VbdSet::Key> keys;
  keys.reserve(array.ElementLength() / 2);
  for (size_t i = 0; i + 1 < array.ElementLength(); i += 2)
    keys.emplace_back(array[i], array[i + 1]);
  return keys;
}

Napi::Value ToValue(Napi::Env env, const XenstoreLink::Answer& answer, bool names) {
  if (answer.error != 0) return Napi::Number::New(env, answer.error);
  if (!names) {
    if (answer.strings.empty()) return env.Null();
    const std::string& value = answer.strings.front();
    return Napi::Buffer<char>::Copy(env, value.data(), value.size());
  }
  Napi::Array array = Napi::Array::New(env, answer.strings.size());
  for (uint32_t i = 0; i < answer.strings.size(); ++i) {
    array.Set(i, Napi::String::New(env, answer.strings[i]));
  }
  return array;
}

// An array with, for each path, an errno or what is there (a Buffer, the names of the children, or
// null for a watch); or { failure, errno }.
Napi::Value ToValue(Napi::Env env, const XenstoreLink::Result& result) {
  if (result.outcome != Outcome::kAnswered) {
    Napi::Object failure = Napi::Object::New(env);
    failure["failure"] = Napi::String::New(env, Word(result.outcome));
    failure["errno"] = Napi::Number::New(env, result.error);
    return failure;
  }
  Napi::Array answers = Napi::Array::New(env, result.answers.size());
  for (uint32_t i = 0; i < result.answers.size(); ++i) {
    answers.Set(i, ToValue(env, result.answers[i], result.operation == Operation::kDirectory));
  }
  return answers;
}

// The memory of a typed array. Null if it has less than so many elements, or none any more because
// it was transferred to another thread.
template <typename Element>
Element* Memory(napi_env env, napi_value array, size_t elements) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr);
  return length < elements ? nullptr : static_cast<Element*>(data);
}

int64_t MonotonicNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

// A link that watches, and how it tells.
struct Watch {
  std::shared_ptr<XenstoreLink> link;
  std::shared_ptr<Notifier> notifier;

  ~Watch() {
    if (!link) return;
    notifier->Close();
    link->Stop();
  }
};

// One for each environment (the main thread, each worker): they share nothing.
class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    // Every read of this environment fills this one row: whoever reads takes the numbers at once.
    Napi::ArrayBuffer row = Napi::ArrayBuffer::New(env, kColumns * sizeof(double));
    row_ = row.Data();
    row_keeper_ = Napi::Persistent(row.As<Napi::Object>());

    // Without the C++ wrapping of arguments, which would cost as much as the call itself.
    napi_value read_vbd, sample_set;
    napi_create_function(env, "readVbd", NAPI_AUTO_LENGTH, ReadVbd, this, &read_vbd);
    napi_create_function(env, "sampleSet", NAPI_AUTO_LENGTH, SampleSet, this, &sample_set);

    DefineAddon(exports,
                {
                    InstanceValue("row", row, napi_enumerable),
                    InstanceMethod<&Addon::OpenVbd>("openVbd", napi_enumerable),
                    InstanceValue("readVbd", Napi::Value(env, read_vbd), napi_enumerable),
                    InstanceMethod<&Addon::CloseVbd>("closeVbd", napi_enumerable),
                    InstanceMethod<&Addon::OpenFilesLimit>("openFilesLimit", napi_enumerable),
                    InstanceMethod<&Addon::OpenSet>("openSet", napi_enumerable),
                    InstanceMethod<&Addon::PrepareSet>("prepareSet", napi_enumerable),
                    InstanceMethod<&Addon::AssignSet>("assignSet", napi_enumerable),
                    InstanceValue("sampleSet", Napi::Value(env, sample_set), napi_enumerable),
                    InstanceMethod<&Addon::CloseSet>("closeSet", napi_enumerable),
                    InstanceMethod<&Addon::OpenXenstore>("openXenstore", napi_enumerable),
                    InstanceMethod<&Addon::AskXenstore>("askXenstore", napi_enumerable),
                    InstanceMethod<&Addon::CloseXenstore>("closeXenstore", napi_enumerable),
                    InstanceMethod<&Addon::OpenWatch>("openWatch", napi_enumerable),
                    InstanceMethod<&Addon::AskWatch>("askWatch", napi_enumerable),
                    InstanceMethod<&Addon::PostWatch>("postWatch", napi_enumerable),
                    InstanceMethod<&Addon::TakeWatch>("takeWatch", napi_enumerable),
                    InstanceMethod<&Addon::KeepWatchAlive>("keepWatchAlive", napi_enumerable),
                    InstanceMethod<&Addon::CloseWatch>("closeWatch", napi_enumerable),
                });
  }

 private:
  // openVbd(devices, domid, devid): a handle, or a failure.
  Napi::Value OpenVbd(const Napi::CallbackInfo& info) {
    auto vbd = std::make_unique<VbdStatistics>(StatisticsFolder(
        info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::Number>().Uint32Value(),
        info[2].As<Napi::Number>().Uint32Value()));
    const Failure failure = vbd->Open();
    if (failure.error != 0) return Napi::Number::New(info.Env(), failure.Encoded());
    return Napi::External<VbdStatistics>::New(info.Env(), vbd.release(),
                                              [](Napi::Env, VbdStatistics* it) { delete it; });
  }

  // readVbd(handle, counters): undefined when the row is filled, or a failure.
  static napi_value ReadVbd(napi_env env, napi_callback_info info) {
    size_t count = 2;
    napi_value arguments[2];
    void* addon;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &addon);
    void* vbd;
    napi_get_value_external(env, arguments[0], &vbd);
    uint32_t wanted;
    napi_get_value_uint32(env, arguments[1], &wanted);

    void* row = static_cast<Addon*>(addon)->row_;
    const Failure failure =
        (wanted & kAsIntegers) != 0
            ? static_cast<VbdStatistics*>(vbd)->Read(wanted, static_cast<int64_t*>(row))
            : static_cast<VbdStatistics*>(vbd)->Read(wanted, static_cast<double*>(row));
    if (failure.error == 0) return nullptr;
    napi_value result;
    napi_create_uint32(env, failure.Encoded(), &result);
    return result;
  }

  // closeVbd(handle): returns the descriptors; reading fails with EBADF from then on.
  void CloseVbd(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<VbdStatistics>>().Data()->Close();
  }

  // openFilesLimit(): how many files this process may have open.
  Napi::Value OpenFilesLimit(const Napi::CallbackInfo& info) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return Napi::Number::New(info.Env(), static_cast<double>(limit.rlim_cur));
  }

  // openSet(devices, descriptors): a handle. The vbds of the set hold so many descriptors at most.
  Napi::Value OpenSet(const Napi::CallbackInfo& info) {
    auto* set = new VbdSet(info[0].As<Napi::String>().Utf8Value(),
                           static_cast<size_t>(info[1].As<Napi::Number>().Int64Value()));
    return Napi::External<VbdSet>::New(info.Env(), set, [](Napi::Env, VbdSet* it) { delete it; });
  }

  // prepareSet(set, keys), see VbdSet::Prepare.
  void PrepareSet(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<VbdSet>>().Data()->Prepare(ToKeys(info[1]));
  }

  // assignSet(set, keys): how many are not open, see VbdSet::Assign.
  Napi::Value AssignSet(const Napi::CallbackInfo& info) {
    const size_t closed = info[0].As<Napi::External<VbdSet>>().Data()->Assign(ToKeys(info[1]));
    return Napi::Number::New(info.Env(), static_cast<double>(closed));
  }

  // sampleSet(set, values, failures, clock): how many vbds failed; -1 if the arrays are too short
  // for the rows. values: doubles, or 64-bit integers; failures: one number for each row, 0 if it
  // did not fail; clock: monotonic nanoseconds of this sample and of the one before.
  static napi_value SampleSet(napi_env env, napi_callback_info info) {
    size_t count = 4;
    napi_value arguments[4];
    napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
    void* data;
    napi_get_value_external(env, arguments[0], &data);
    VbdSet& set = *static_cast<VbdSet*>(data);
    // Asked for each time: their owner may have given the memory away.
    void* values = Memory<void>(env, arguments[1], set.size() * kColumns);
    auto* failures = Memory<uint32_t>(env, arguments[2], set.size());
    auto* clock = Memory<int64_t>(env, arguments[3], 2);
    napi_typedarray_type type;
    napi_get_typedarray_info(env, arguments[1], &type, nullptr, nullptr, nullptr, nullptr);

    double failed = -1;
    const bool room = set.size() == 0 || (values != nullptr && failures != nullptr);
    if (room && clock != nullptr) {
      clock[1] = clock[0];
      clock[0] = MonotonicNanoseconds();
      failed = static_cast<double>(type == napi_bigint64_array
                                       ? set.Sample(static_cast<int64_t*>(values), failures)
                                       : set.Sample(static_cast<double*>(values), failures));
    }
    napi_value result;
    napi_create_double(env, failed, &result);
    return result;
  }

  // closeSet(set): returns its descriptors; it has no rows from then on.
  void CloseSet(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<VbdSet>>().Data()->Close();
  }

  // openXenstore(socket?): a handle. It connects when it is asked something.
  Napi::Value OpenXenstore(const Napi::CallbackInfo& info) {
    // Two steps, because a xenstore that is closed must still have something to point at.
    auto* xenstore = new std::unique_ptr<Xenstore>(new Xenstore(ToSocket(info[0])));
    return Napi::External<std::unique_ptr<Xenstore>>::New(
        info.Env(), xenstore, [](Napi::Env, std::unique_ptr<Xenstore>* it) { delete it; });
  }

  // askXenstore(handle, operation, paths, timeoutMs): see ToValue(env, result).
  Napi::Value AskXenstore(const Napi::CallbackInfo& info) {
    auto& xenstore = *info[0].As<Napi::External<std::unique_ptr<Xenstore>>>().Data();
    return ToValue(info.Env(), xenstore->Ask(ToOperation(info[1]), ToPaths(info[2]),
                                             info[3].As<Napi::Number>().DoubleValue()));
  }

  // closeXenstore(handle): ends the connection.
  void CloseXenstore(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<std::unique_ptr<Xenstore>>>().Data()->reset();
  }

  // openWatch(socket?, notify, timeoutMs): a handle, or { failure, errno } if there is no thread to
  // be had within that time. notify is called when takeWatch has something.
  Napi::Value OpenWatch(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!stopped_.HasRoom(Deadline(info[2].As<Napi::Number>().DoubleValue()))) {
      return ToValue(env, XenstoreLink::Result{Outcome::kTimedOut, ETIMEDOUT});
    }
    const auto notifier = Notifier::Make(env, info[1].As<Napi::Function>());
    if (!notifier) return ToValue(env, XenstoreLink::Result{Outcome::kConnectFailed, ENOMEM});
    auto link = XenstoreLink::Start(ToSocket(info[0]), [notifier] { notifier->Notify(); });
    if (!link) {
      const int error = errno;
      notifier->Close();
      return ToValue(env, XenstoreLink::Result{Outcome::kConnectFailed, error});
    }
    return Napi::External<Watch>::New(env, new Watch{std::move(link), notifier},
                                      [](Napi::Env, Watch* it) { delete it; });
  }

  // askWatch(handle, operation, paths, timeoutMs): waits for the answers, see ToValue(env, result).
  Napi::Value AskWatch(const Napi::CallbackInfo& info) {
    const Watch& watch = *info[0].As<Napi::External<Watch>>().Data();
    return ToValue(info.Env(), watch.link->Ask(ToOperation(info[1]), ToPaths(info[2]),
                                               Deadline(info[3].As<Napi::Number>().DoubleValue())));
  }

  // postWatch(handle, operation, paths, timeoutMs): asks; takeWatch will have the answers.
  void PostWatch(const Napi::CallbackInfo& info) {
    const Watch& watch = *info[0].As<Napi::External<Watch>>().Data();
    watch.link->Post(ToOperation(info[1]), ToPaths(info[2]),
                     Deadline(info[3].As<Napi::Number>().DoubleValue()));
  }

  // takeWatch(handle): { changed, broken, answers } since it was last asked; answers only when
  // there are any.
  Napi::Value TakeWatch(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const XenstoreLink::News news = info[0].As<Napi::External<Watch>>().Data()->link->TakeNews();
    Napi::Array changed = Napi::Array::New(env, news.changed.size());
    uint32_t i = 0;
    for (const std::string& path : news.changed) changed.Set(i++, Napi::String::New(env, path));
    Napi::Object result = Napi::Object::New(env);
    result["changed"] = changed;
    result["broken"] = Napi::Boolean::New(env, news.broken);
    if (news.answer.has_value()) result["answers"] = ToValue(env, *news.answer);
    return result;
  }

  // keepWatchAlive(handle, alive): whether the process goes on for it.
  void KeepWatchAlive(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<Watch>>().Data()->notifier->KeepAlive(
        info.Env(), info[1].As<Napi::Boolean>().Value());
  }

  // closeWatch(handle): ends the connection and does not call any more. Not to be used after it.
  void CloseWatch(const Napi::CallbackInfo& info) {
    Watch& watch = *info[0].As<Napi::External<Watch>>().Data();
    watch.notifier->Close();
    stopped_.Stop(std::move(watch.link));
  }

  static std::string ToSocket(const Napi::Value& value) {
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  }

  // Of watches. Whoever waits for an answer has his own.
  StoppedLinks stopped_;
  void* row_;
  Napi::ObjectReference row_keeper_;
};

}  // namespace

NODE_API_ADDON(Addon)

}  // namespace xen_block_stats
