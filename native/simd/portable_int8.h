// The 8-bit microkernel in plain C++.
#pragma once

#include "kernels/kernels.h"
#include "simd/portable.h"

namespace {

constexpr int kInt8MR = 4;

inline const void* prepare_micropanel(const uint8_t* weights, int64_t, void*) { return weights; }

template <int planes>
inline void int8_microkernel(const int8_t* a, const float* scales, const int32_t* offsets, const void* panel,
                             const float* weight_scales, int64_t groups, int64_t group, float* c, int64_t stride,
                             bool accumulate) {
  const uint8_t* b = static_cast<const uint8_t*>(panel);
  constexpr int outputs = kernels::kInt8NR;
  for (int64_t g = 0; g < groups; g++) {
    int32_t sums[kInt8MR][outputs];
    for (int r = 0; r < kInt8MR; r++)
      for (int n = 0; n < outputs; n++) sums[r][n] = offsets[r];
    for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += outputs * 4)
      for (int r = 0; r < kInt8MR; r++)
        for (int n = 0; n < outputs; n++) {
          int32_t dot = 0;
          for (int i = 0; i < 4; i++) dot += static_cast<int32_t>(a[r * 4 + i]) * static_cast<int32_t>(b[n * 4 + i]);
          sums[r][n] += dot;
        }
    for (int r = 0; r < kInt8MR / planes; r++)
      for (int n = 0; n < outputs; n++) {
        int32_t total = sums[r * planes][n];
        if (planes == 2) total = total * 256 + sums[r * 2 + 1][n];
        const float scaled = static_cast<float>(total) * weight_scales[n] * scales[r];
        float* to = c + r * stride + n;
        *to = accumulate ? *to + scaled : scaled;
      }
    accumulate = true;
    scales += kInt8MR / planes;
    offsets += kInt8MR;
    weight_scales += outputs;
  }
}

}  // namespace
