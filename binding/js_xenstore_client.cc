#include "js_xenstore_client.h"

#include <algorithm>
#include <string>
#include <vector>

namespace xen_block_stats {
namespace {

using Operation = XenstoreClient::Operation;
using Outcome = XenstoreClient::Outcome;

// Converts the name of an operation.
Operation ToOperation(const Napi::Value& value) {
  const std::string name = value.As<Napi::String>().Utf8Value();
  if (name == "read") return Operation::kRead;
  return name == "watch" ? Operation::kWatch : Operation::kUnwatch;
}

// Converts an array of strings.
std::vector<std::string> ToPaths(const Napi::Value& value) {
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> paths;
  paths.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    paths.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  }
  return paths;
}

// Returns the name of a failure.
const char* Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNoLibrary:
      return "library";
    case Outcome::kConnectFailed:
      return "connect";
    case Outcome::kTimedOut:
      return "timeout";
    default:
      return "broken";
  }
}

Napi::Array ToArray(Napi::Env env, const std::vector<XenstoreClient::Answer>& answers);

// Converts a node's value: to a string if it is printable ASCII, else to a Buffer, which lib/
// validates.
napi_value ToValue(Napi::Env env, const std::string& value) {
  const bool is_plain =
      std::all_of(value.begin(), value.end(), [](char it) { return it >= ' ' && it <= '~'; });
  if (!is_plain) return Napi::Buffer<char>::Copy(env, value.data(), value.size());
  napi_value string = nullptr;
  napi_create_string_latin1(env, value.data(), value.size(), &string);
  return string;
}

// Converts an answer: to an errno, a node's value, or an array of answers.
napi_value ToValue(Napi::Env env, const XenstoreClient::Answer& answer) {
  if (answer.error != 0) return Napi::Number::New(env, answer.error);
  return answer.is_list ? ToArray(env, answer.list) : ToValue(env, answer.value);
}

// Converts answers to an array.
Napi::Array ToArray(Napi::Env env, const std::vector<XenstoreClient::Answer>& answers) {
  Napi::Array array = Napi::Array::New(env, answers.size());
  for (uint32_t i = 0; i < answers.size(); ++i) {
    napi_set_element(env, array, i, ToValue(env, answers[i]));
  }
  return array;
}

// Converts a response: to an array with an answer for each path, or to { failure, errno }.
Napi::Value ToValue(Napi::Env env, const XenstoreClient::Response& response) {
  if (response.outcome != Outcome::kAnswered) {
    Napi::Object failure = Napi::Object::New(env);
    failure["failure"] = Napi::String::New(env, Name(response.outcome));
    failure["errno"] = Napi::Number::New(env, response.error);
    return failure;
  }
  return ToArray(env, response.answers);
}

}  // namespace

Napi::Function JsXenstoreClient::Define(Napi::Env env) {
  return DefineClass(env, "XenstoreClient",
                     {
                         InstanceMethod<&JsXenstoreClient::Request>("request"),
                         InstanceMethod<&JsXenstoreClient::Post>("post"),
                         InstanceMethod<&JsXenstoreClient::Take>("take"),
                         InstanceMethod<&JsXenstoreClient::Changes>("changes"),
                         InstanceMethod<&JsXenstoreClient::GiveUp>("giveUp"),
                         InstanceMethod<&JsXenstoreClient::KeepAlive>("keepAlive"),
                         InstanceMethod<&JsXenstoreClient::Close>("close"),
                     });
}

JsXenstoreClient::JsXenstoreClient(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const std::string socket = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  std::function<void()> notify;
  if (info[1].IsFunction()) {
    notifier_ = Notifier::Make(info.Env(), info[1].As<Napi::Function>());
    if (!notifier_) throw Napi::Error::New(info.Env(), "no memory for a thread-safe function");
    notify = [notifier = notifier_] { notifier->Notify(); };
  }
  client_ = std::make_unique<XenstoreClient>(socket, notify);
}

Napi::Value JsXenstoreClient::Request(const Napi::CallbackInfo& info) {
  const Operation operation = ToOperation(info[0]);
  const Deadline deadline(timespec{0, 0}, info[2].As<Napi::Number>().DoubleValue());
  return ToValue(info.Env(), client_->Request(operation, ToPaths(info[1]), deadline));
}

void JsXenstoreClient::Post(const Napi::CallbackInfo& info) {
  client_->Post(ToOperation(info[0]), ToPaths(info[1]));
}

Napi::Value JsXenstoreClient::Take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const XenstoreClient::Events events = client_->Take();
  Napi::Array changed = Napi::Array::New(env, events.changed.size());
  uint32_t i = 0;
  for (const std::string& path : events.changed) changed.Set(i++, Napi::String::New(env, path));
  Napi::Object result = Napi::Object::New(env);
  result["changed"] = changed;
  result["lost"] = Napi::Boolean::New(env, events.lost);
  if (events.response.has_value()) result["response"] = ToValue(env, *events.response);
  return result;
}

Napi::Value JsXenstoreClient::Changes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), client_->Changes());
}

Napi::Value JsXenstoreClient::GiveUp(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), client_->GiveUp());
}

void JsXenstoreClient::KeepAlive(const Napi::CallbackInfo& info) {
  notifier_->KeepAlive(info.Env(), info[0].As<Napi::Boolean>().Value());
}

void JsXenstoreClient::Close() {
  if (notifier_) notifier_->Close();
  client_.reset();
}

}  // namespace xen_block_stats
