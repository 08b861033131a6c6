// What JavaScript can call. lib/native.ts describes it with types; nothing else calls it, so
// arguments are what it says. Nothing is thrown here: errors go back as numbers and words.

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "vbd_statistics.h"
#include "xenstore.h"

namespace xen_block_stats {
namespace {

// Set beside the counters: the row is read as 64-bit integers, not as doubles.
constexpr CounterSet kAsIntegers = 1u << kCounters;

// A failure as one number: the counter above the errno.
double Encode(const Failure& failure) { return failure.counter * 65536.0 + failure.error; }

const char* Word(Xenstore::Outcome outcome) {
  switch (outcome) {
    case Xenstore::Outcome::kNoLibrary:
      return "library";
    case Xenstore::Outcome::kConnectFailed:
      return "connect";
    case Xenstore::Outcome::kTimedOut:
      return "timeout";
    default:
      return "broken";
  }
}

// One for each environment (the main thread, each worker): they share nothing.
class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    // Every read of this environment fills this one row: whoever reads takes the numbers at once.
    Napi::ArrayBuffer row = Napi::ArrayBuffer::New(env, kColumns * sizeof(double));
    row_ = row.Data();
    row_keeper_ = Napi::Persistent(row.As<Napi::Object>());

    // Without the C++ wrapping of arguments, which would cost as much as the call itself.
    napi_value read_vbd;
    napi_create_function(env, "readVbd", NAPI_AUTO_LENGTH, ReadVbd, this, &read_vbd);

    DefineAddon(exports,
                {
                    InstanceValue("row", row, napi_enumerable),
                    InstanceMethod<&Addon::OpenVbd>("openVbd", napi_enumerable),
                    InstanceValue("readVbd", Napi::Value(env, read_vbd), napi_enumerable),
                    InstanceMethod<&Addon::CloseVbd>("closeVbd", napi_enumerable),
                    InstanceMethod<&Addon::OpenXenstore>("openXenstore", napi_enumerable),
                    InstanceMethod<&Addon::AskXenstore>("askXenstore", napi_enumerable),
                    InstanceMethod<&Addon::CloseXenstore>("closeXenstore", napi_enumerable),
                });
  }

 private:
  // openVbd(devices, domid, devid): a handle, or a failure.
  Napi::Value OpenVbd(const Napi::CallbackInfo& info) {
    auto vbd = std::make_unique<VbdStatistics>(StatisticsFolder(
        info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::Number>().Uint32Value(),
        info[2].As<Napi::Number>().Uint32Value()));
    const Failure failure = vbd->Open();
    if (failure.error != 0) return Napi::Number::New(info.Env(), Encode(failure));
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
    napi_create_double(env, Encode(failure), &result);
    return result;
  }

  // closeVbd(handle): returns the descriptors; reading fails with EBADF from then on.
  void CloseVbd(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<VbdStatistics>>().Data()->Close();
  }

  // openXenstore(socket?): a handle. It connects when it is asked something.
  Napi::Value OpenXenstore(const Napi::CallbackInfo& info) {
    std::string socket = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
    // Two steps, because a xenstore that is closed must still have something to point at.
    auto* xenstore = new std::unique_ptr<Xenstore>(new Xenstore(std::move(socket)));
    return Napi::External<std::unique_ptr<Xenstore>>::New(
        info.Env(), xenstore, [](Napi::Env, std::unique_ptr<Xenstore>* it) { delete it; });
  }

  // askXenstore(handle, directory, paths, timeoutMs): an array with, for each path, an errno or
  // what is there (a Buffer, or the names of the children); or { failure, errno }.
  Napi::Value AskXenstore(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto& xenstore = *info[0].As<Napi::External<std::unique_ptr<Xenstore>>>().Data();
    const auto operation = info[1].As<Napi::Boolean>().Value() ? Xenstore::Operation::kDirectory
                                                               : Xenstore::Operation::kRead;
    const Napi::Array wanted = info[2].As<Napi::Array>();
    std::vector<std::string> paths;
    paths.reserve(wanted.Length());
    for (uint32_t i = 0; i < wanted.Length(); ++i) {
      paths.push_back(wanted.Get(i).As<Napi::String>().Utf8Value());
    }

    const Xenstore::Result result =
        xenstore->Ask(operation, paths, info[3].As<Napi::Number>().DoubleValue());
    if (result.outcome != Xenstore::Outcome::kAnswered) {
      Napi::Object failure = Napi::Object::New(env);
      failure["failure"] = Napi::String::New(env, Word(result.outcome));
      failure["errno"] = Napi::Number::New(env, result.error);
      return failure;
    }
    Napi::Array answers = Napi::Array::New(env, result.answers.size());
    for (uint32_t i = 0; i < result.answers.size(); ++i) {
      answers.Set(i, ToValue(env, operation, result.answers[i]));
    }
    return answers;
  }

  static Napi::Value ToValue(Napi::Env env, Xenstore::Operation operation,
                             const Xenstore::Answer& answer) {
    if (answer.error != 0) return Napi::Number::New(env, answer.error);
    if (operation == Xenstore::Operation::kRead) {
      const std::string& value = answer.strings.front();
      return Napi::Buffer<char>::Copy(env, value.data(), value.size());
    }
    Napi::Array names = Napi::Array::New(env, answer.strings.size());
    for (uint32_t i = 0; i < answer.strings.size(); ++i) {
      names.Set(i, Napi::String::New(env, answer.strings[i]));
    }
    return names;
  }

  // closeXenstore(handle): ends the connection.
  void CloseXenstore(const Napi::CallbackInfo& info) {
    info[0].As<Napi::External<std::unique_ptr<Xenstore>>>().Data()->reset();
  }

  void* row_;
  Napi::ObjectReference row_keeper_;
};

}  // namespace

NODE_API_ADDON(Addon)

}  // namespace xen_block_stats
