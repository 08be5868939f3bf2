// The integer sums of the 8-bit product with VPDPBUSD, in the vectors and with the dot() of the file that includes it.
#pragma once

#include "kernels/kernels.h"

namespace {

using PackedWeight = uint8_t;

inline const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t, void*) { return weights; }

inline void group_sums(const int8_t* a, const int32_t* offsets, const PackedWeight* b, int64_t column, int64_t group,
                       Integers sums[kInt8MR][kInt8Vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kInt8MR; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kInt8Vectors; v++) sums[r][v] = broadcast(offsets[r]);
  b += column * 4;
  for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += kernels::kInt8NR * 4) {
    Integers weights[kInt8Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < kInt8Vectors; v++) memcpy(&weights[v], b + v * sizeof(Integers), sizeof(Integers));
#pragma GCC unroll 8
    for (int r = 0; r < kInt8MR; r++) {
      int32_t four;
      memcpy(&four, a + r * 4, 4);
      const Integers x = broadcast(four);
#pragma GCC unroll 4
      for (int v = 0; v < kInt8Vectors; v++) dot(sums[r][v], weights[v], x);
    }
  }
}

}  // namespace
