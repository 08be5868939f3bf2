// A half-precision number in float32, from its bits: exact, on any processor.
#pragma once

#include <cstdint>
#include <cstring>

namespace kernels {

inline float f32_from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

inline float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return f32_from_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent > 0) return f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float small = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
  return sign ? -small : small;
}

}  // namespace kernels
