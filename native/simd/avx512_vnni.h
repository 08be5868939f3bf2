// The 8-bit microkernel with VNNI: 6 rows of bytes times 64 outputs, 24 sums in registers.
#pragma once

#include "kernels/kernels.h"
#include "simd/avx512.h"

namespace {

constexpr int kInt8MR = 6;

inline const void* prepare_micropanel(const uint8_t* weights, int64_t, void*) { return weights; }

// Four products of unsigned and signed bytes added to each sum. Not the intrinsic: GCC 12 copies and spills its sums.
inline void dot(__m512i& sums, __m512i weights, __m512i x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(x));
}

template <int planes>
inline void int8_microkernel(const int8_t* a, const float* scales, const int32_t* offsets, const void* panel,
                             const float* weight_scales, int64_t groups, int64_t group, float* c, int64_t stride,
                             bool accumulate) {
  const uint8_t* b = static_cast<const uint8_t*>(panel);
  for (int64_t g = 0; g < groups; g++) {
    __m512i sums[kInt8MR][4];
#pragma GCC unroll 8
    for (int r = 0; r < kInt8MR; r++) {
      const __m512i offset = _mm512_set1_epi32(offsets[r]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) sums[r][v] = offset;
    }
    for (int64_t k = 0; k < group; k += 4) {
      __m512i weights[4];
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) weights[v] = _mm512_loadu_si512(b + v * 64);
#pragma GCC unroll 8
      for (int r = 0; r < kInt8MR; r++) {
        int32_t four;
        memcpy(&four, a + r * 4, 4);
        const __m512i x = _mm512_set1_epi32(four);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) dot(sums[r][v], weights[v], x);
      }
      a += kInt8MR * 4;
      b += 256;
    }
    Floats by_output[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) by_output[v] = load(weight_scales + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kInt8MR / planes; r++) {
      const Floats by_row = broadcast(scales[r]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; v++) {
        float* to = c + r * stride + v * kLanes;
        __m512i total = sums[r * planes][v];
        if (planes == 2) total = add(shift_left<8>(total), sums[r * 2 + 1][v]);
        const Floats scaled = multiply(to_floats(total), by_output[v]);
        store(to, multiply_add(scaled, by_row, accumulate ? load(to) : broadcast(0.0f)));
      }
    }
    accumulate = true;
    scales += kInt8MR / planes;
    offsets += kInt8MR;
    weight_scales += kernels::kInt8NR;
  }
}

}  // namespace
