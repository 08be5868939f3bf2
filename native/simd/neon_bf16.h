// 64-bit ARM with BF16: conversions to bfloat16, and weights in the order of BFMMLA.
#pragma once

#include "kernels/kernels.h"
#include "simd/neon.h"

namespace {

// Lanes rounded to bfloat16, to nearest even.
inline uint16x4_t to_bf16(Floats x) { return vreinterpret_u16_bf16(vcvt_bf16_f32(x)); }
inline void store_bf16(uint16_t* to, Floats x) { vst1_u16(to, to_bf16(x)); }

// 32 floats as a sum of bfloat16 numbers: the first plane is rounded, the next one holds the rest, and so on.
// x (32); to (planes, 32), planes `plane_stride` apart
template <int planes>
inline void split_bf16(const float* x, uint16_t* to, int64_t plane_stride) {
  for (int64_t i = 0; i < 32; i += kLanes) {
    Floats rest = load(x + i);
    for (int plane = 0; plane < planes; plane++) {
      const uint16x4_t rounded = to_bf16(rest);
      vst1_u16(to + plane * plane_stride + i, rounded);
      rest = subtract(rest, vreinterpretq_f32_u32(vshll_n_u16(rounded, 16)));
    }
  }
}

// Where input `input` of output `output` is in a tile of weights: (8, 8, 2 outputs, 4 inputs), as BFMMLA reads them.
inline int64_t in_tile(int64_t output, int64_t input) { return input / 4 * 64 + output * 4 + input % 4; }

// 16 rows of 32 bfloat16 numbers, `stride` bytes apart -> a tile of weights
inline void transpose_pairs(const uint8_t* from, int64_t stride, uint16_t* to) {
  for (int64_t output = 0; output < 16; output++)
    for (int64_t input = 0; input < 32; input += 4)
      memcpy(to + in_tile(output, input), from + output * stride + input * 2, 8);
}

}  // namespace
