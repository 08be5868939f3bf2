// The 8-bit microkernel: integer sums of a group, as the variant makes them, scaled and added in float32.
//
// A variant defines before this file:
//   kInt8MR, kInt8Vectors: sums of MR rows times kInt8Vectors vectors of outputs stay in registers
//   PackedWeight: what becomes of a weight's byte
//   const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch)
//     weights (depth / 4, NR, 4) in the order that group_sums reads, in `scratch` or in place; 2 bytes each at most
//   void group_sums(a, offsets, b, column, group, sums)
//     a (group / 4, MR, 4); offsets (MR); b: as prepared; sums (MR, kInt8Vectors) of outputs column.. of the micropanel
#pragma once

#include "kernels/kernels.h"

namespace {

// a (groups, group / 4, MR, 4); scales (groups, MR / planes); offsets (groups, MR); b: as prepared;
// weight_scales (groups, NR); c (MR / planes, NR), rows `stride` apart
template <int planes>
inline void int8_microkernel(const int8_t* a, const float* scales, const int32_t* offsets, const PackedWeight* b,
                             const float* weight_scales, int64_t groups, int64_t group, float* c, int64_t stride,
                             bool accumulate) {
  for (int64_t g = 0; g < groups; g++) {
    for (int64_t column = 0; column < kernels::kInt8NR; column += kInt8Vectors * kLanes) {
      Integers sums[kInt8MR][kInt8Vectors];
      group_sums(a, offsets, b, column, group, sums);
      Floats by_output[kInt8Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < kInt8Vectors; v++) by_output[v] = load(weight_scales + column + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kInt8MR / planes; r++) {
        const Floats by_row = broadcast(scales[r]);
#pragma GCC unroll 8
        for (int v = 0; v < kInt8Vectors; v++) {
          float* to = c + r * stride + column + v * kLanes;
          Integers total = sums[r * planes][v];
          if (planes == 2) total = add(shift_left<8>(total), sums[r * 2 + 1][v]);
          const Floats scaled = multiply(to_floats(total), by_output[v]);
          store(to, multiply_add(scaled, by_row, accumulate ? load(to) : broadcast(0.0f)));
        }
      }
    }
    accumulate = true;
    a += group * kInt8MR;
    b += group * kernels::kInt8NR;
    scales += kInt8MR / planes;
    offsets += kInt8MR;
    weight_scales += kernels::kInt8NR;
  }
}

}  // namespace
