// The integer sums of the 8-bit product in plain C++.
#pragma once

#include "kernels/kernels.h"
#include "simd/portable.h"

namespace {

constexpr int kInt8MR = 4;
constexpr int kInt8Vectors = kernels::kInt8NR / kLanes;

using PackedWeight = uint8_t;

inline const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t, void*) { return weights; }

inline void group_sums(const int8_t* a, const int32_t* offsets, const PackedWeight* b, int64_t, int64_t group,
                       Integers sums[kInt8MR][kInt8Vectors]) {
  constexpr int outputs = kernels::kInt8NR;
  int32_t dots[kInt8MR][outputs] = {};
  for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += outputs * 4)
    for (int r = 0; r < kInt8MR; r++)
      for (int n = 0; n < outputs; n++) {
        int32_t dot = 0;
        for (int i = 0; i < 4; i++) dot += static_cast<int32_t>(a[r * 4 + i]) * static_cast<int32_t>(b[n * 4 + i]);
        dots[r][n] += dot;
      }
  for (int r = 0; r < kInt8MR; r++)
    for (int n = 0; n < outputs; n++) sums[r][n / kLanes].lane[n % kLanes] = dots[r][n] + offsets[r];
}

}  // namespace
