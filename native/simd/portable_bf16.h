// Conversions to bfloat16 and weights in pairs of inputs, in plain C++.
#pragma once

#include "kernels/kernels.h"
#include "simd/portable.h"

namespace {

inline uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 64);  // stays NaN
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline void store_bf16(uint16_t* to, Floats x) {
  for (int i = 0; i < kLanes; i++) to[i] = to_bf16(x.lane[i]);
}

template <int planes>
inline void split_bf16(const float* x, uint16_t* to, int64_t plane_stride) {
  for (int64_t i = 0; i < 32; i++) {
    float rest = x[i];
    for (int plane = 0; plane < planes; plane++) {
      const uint16_t rounded = to_bf16(rest);
      to[plane * plane_stride + i] = rounded;
      rest -= kernels::f32_from_bits(static_cast<uint32_t>(rounded) << 16);
    }
  }
}

inline void transpose_pairs(const uint8_t* from, int64_t stride, uint16_t* to) {
  for (int64_t pair = 0; pair < 16; pair++)
    for (int64_t row = 0; row < 16; row++) memcpy(to + (pair * 16 + row) * 2, from + row * stride + pair * 4, 4);
}

inline void dequantize_pairs(const uint8_t* bytes, const float* scales, uint16_t* to) {
  for (int64_t input = 0; input < 32; input++)
    for (int64_t output = 0; output < 16; output++) {
      const int byte = bytes[input / 4 * 4 * kernels::kInt8NR + output * 4 + input % 4];
      to[input / 2 * 32 + output * 2 + input % 2] = to_bf16(static_cast<float>(byte - 128) * scales[output]);
    }
}

}  // namespace
