#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>

namespace xen_block_stats {

// The memory of a typed array that JavaScript has passed. Every call looks it up again: the caller
// may have transferred the array's buffer to another thread between two calls.
class TypedArray {
 public:
  // value: a typed array.
  explicit TypedArray(const Napi::Value& value) {
    napi_get_typedarray_info(value.Env(), value, &type_, &length_, &data_, nullptr, nullptr);
  }

  // Returns the elements; null if they have another type or are fewer than length.
  template <typename Element>
  Element* Data(size_t length) const;

 private:
  template <typename Element>
  Element* Data(napi_typedarray_type type, size_t length) const {
    return type_ == type && length_ >= length ? static_cast<Element*>(data_) : nullptr;
  }

  napi_typedarray_type type_ = napi_int8_array;
  size_t length_ = 0;
  void* data_ = nullptr;
};

template <>
inline double* TypedArray::Data(size_t length) const {
  return Data<double>(napi_float64_array, length);
}
template <>
inline int64_t* TypedArray::Data(size_t length) const {
  return Data<int64_t>(napi_bigint64_array, length);
}
template <>
inline uint32_t* TypedArray::Data(size_t length) const {
  return Data<uint32_t>(napi_uint32_array, length);
}

}  // namespace xen_block_stats
