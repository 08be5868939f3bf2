// Plain C++ in groups of eight floats, which compilers turn into whatever the processor has.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/float16.h"

namespace {

constexpr int kLanes = 8;
constexpr int kF32MR = 4;
constexpr int kF32Vectors = 2;

struct Floats {
  float lane[kLanes];
};
struct Integers {
  int32_t lane[kLanes];
};

template <typename Result, typename Each>
inline Result lanes(Each each) {
  Result result;
  for (int i = 0; i < kLanes; i++) result.lane[i] = each(i);
  return result;
}

inline Floats load(const float* from) {
  Floats x;
  memcpy(x.lane, from, sizeof(x.lane));
  return x;
}
inline void store(float* to, Floats x) { memcpy(to, x.lane, sizeof(x.lane)); }
inline Floats broadcast(float x) {
  return lanes<Floats>([&](int) { return x; });
}
inline Floats add(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] + y.lane[i]; });
}
inline Floats subtract(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] - y.lane[i]; });
}
inline Floats multiply(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] * y.lane[i]; });
}
inline Floats divide(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] / y.lane[i]; });
}
// Fused where the processor can, never where a library would have to.
inline Floats multiply_add(Floats x, Floats y, Floats z) {
#ifdef __FP_FAST_FMAF
  return lanes<Floats>([&](int i) { return std::fma(x.lane[i], y.lane[i], z.lane[i]); });
#else
  return lanes<Floats>([&](int i) { return x.lane[i] * y.lane[i] + z.lane[i]; });
#endif
}
// As x86 does it: where one of them is NaN, the second.
inline Floats maximum(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] > y.lane[i] ? x.lane[i] : y.lane[i]; });
}
inline Floats minimum(Floats x, Floats y) {
  return lanes<Floats>([&](int i) { return x.lane[i] < y.lane[i] ? x.lane[i] : y.lane[i]; });
}
inline Floats absolute(Floats x) {
  return lanes<Floats>([&](int i) { return std::fabs(x.lane[i]); });
}
inline Floats round_to_nearest(Floats x) {
  return lanes<Floats>([&](int i) { return std::nearbyint(x.lane[i]); });
}
inline float reduce_add(Floats x) {
  float total = 0.0f;
  for (float each : x.lane) total += each;
  return total;
}
inline float reduce_max(Floats x) {
  float largest = x.lane[0];
  for (float each : x.lane) largest = largest > each ? largest : each;
  return largest;
}
// x, or 0 where y < z.
inline Floats zero_where_less(Floats x, Floats y, Floats z) {
  return lanes<Floats>([&](int i) { return y.lane[i] < z.lane[i] ? 0.0f : x.lane[i]; });
}
inline Floats scale_by_power_of_two(Floats x, Floats n) {
  return lanes<Floats>([&](int i) {
    // NaN has no integer to convert to.
    return n.lane[i] == n.lane[i] ? std::ldexp(x.lane[i], static_cast<int>(n.lane[i])) : n.lane[i];
  });
}

inline Floats load_bf16(const uint8_t* from) {
  uint16_t stored[kLanes];
  memcpy(stored, from, sizeof(stored));
  return lanes<Floats>([&](int i) { return kernels::f32_from_bits(static_cast<uint32_t>(stored[i]) << 16); });
}
inline Floats load_f16(const uint8_t* from) {
  uint16_t stored[kLanes];
  memcpy(stored, from, sizeof(stored));
  return lanes<Floats>([&](int i) { return kernels::f16_to_f32(stored[i]); });
}

inline Floats load_f32(const uint8_t* from) {
  Floats x;
  memcpy(x.lane, from, sizeof(x.lane));
  return x;
}

inline Integers to_integers(Floats x) {
  return lanes<Integers>([&](int i) {
    const float whole = std::nearbyint(x.lane[i]);
    return whole >= -2147483648.0f && whole < 2147483648.0f ? static_cast<int32_t>(whole) : INT32_MIN;
  });
}
inline Floats to_floats(Integers x) {
  return lanes<Floats>([&](int i) { return static_cast<float>(x.lane[i]); });
}
inline Integers bits_of(Floats x) {
  Integers bits;
  memcpy(bits.lane, x.lane, sizeof(bits.lane));
  return bits;
}
inline Integers maximum(Integers x, Integers y) {
  return lanes<Integers>([&](int i) { return x.lane[i] > y.lane[i] ? x.lane[i] : y.lane[i]; });
}
inline int32_t reduce_max(Integers x) {
  int32_t largest = x.lane[0];
  for (int32_t each : x.lane) largest = largest > each ? largest : each;
  return largest;
}
inline int32_t reduce_add(Integers x) {
  int32_t total = 0;
  for (int32_t each : x.lane) total += each;
  return total;
}
inline Integers add(Integers x, Integers y) {
  return lanes<Integers>([&](int i) { return x.lane[i] + y.lane[i]; });
}
inline Integers subtract(Integers x, Integers y) {
  return lanes<Integers>([&](int i) { return x.lane[i] - y.lane[i]; });
}
inline Integers broadcast(int32_t x) {
  return lanes<Integers>([&](int) { return x; });
}
template <int bits> inline Integers shift_left(Integers x) {
  return lanes<Integers>([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(x.lane[i]) << bits); });
}
template <int bits> inline Integers shift_right(Integers x) {
  return lanes<Integers>([&](int i) { return x.lane[i] >> bits; });
}
inline void store_bytes(int8_t* to, Integers x) {
  for (int i = 0; i < kLanes; i++) to[i] = static_cast<int8_t>(x.lane[i]);
}

inline void transpose(Floats row[kLanes]) {
  for (int i = 0; i < kLanes; i++)
    for (int j = 0; j < i; j++) {
      const float kept = row[i].lane[j];
      row[i].lane[j] = row[j].lane[i];
      row[j].lane[i] = kept;
    }
}

}  // namespace
