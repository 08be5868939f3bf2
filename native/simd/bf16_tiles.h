// The bfloat16 microkernel on tiles: 32 tokens times 32 outputs in four tiles of sums.
#pragma once

#include <cstdint>

namespace {

using Bf16Registers = TileRegisters;
// Three planes on tiles take a fraction of the time of FMA in float32.
constexpr int64_t kFloat32Planes = 3;

template <int panels, int planes, int b_planes>
inline void bf16_microkernel(const uint16_t* a, int64_t panel_stride, const uint16_t* b, int64_t steps, float* c,
                             int64_t stride, bool accumulate, int64_t ahead, int64_t lines) {
  constexpr int64_t kNumbers = 512;  // of a tile
  const int64_t row_bytes = stride * sizeof(float);
  float* c_below = c + 16 * stride;
  if (accumulate) {
    load_tile<0>(c, row_bytes), load_tile<1>(c + 16, row_bytes);
    if (panels == 2) load_tile<2>(c_below, row_bytes), load_tile<3>(c_below + 16, row_bytes);
  } else {
    zero_tile<0>(), zero_tile<1>();
    if (panels == 2) zero_tile<2>(), zero_tile<3>();
  }
  const uint16_t* below = a + panel_stride;
  for (int64_t step = 0; step < steps; step++, a += planes * kNumbers, below += planes * kNumbers) {
    for (int64_t line = 0; line < lines; line++) {
      __builtin_prefetch(a + ahead + line * 32, 0, 2);
      if (panels == 2) __builtin_prefetch(below + ahead + line * 32, 0, 2);
    }
#pragma GCC unroll 3
    for (int b_plane = 0; b_plane < b_planes; b_plane++, b += 2 * kNumbers) {
      // Weights pass by: they must not take the place of activations in the first-level cache.
      load_passing_tile<6>(b, 64), load_passing_tile<7>(b + kNumbers, 64);
      // The last plane of one by the last of the other is less than float32 keeps.
      const int a_planes = b_planes == 1 ? planes : planes - b_plane;
#pragma GCC unroll 3
      for (int plane = 0; plane < a_planes; plane++) {
        planes == 1 ? load_tile<4>(a + plane * kNumbers, 64) : load_passing_tile<4>(a + plane * kNumbers, 64);
        multiply_tiles<0, 4, 6>(), multiply_tiles<1, 4, 7>();
        if (panels == 2) {
          planes == 1 ? load_tile<5>(below + plane * kNumbers, 64) : load_passing_tile<5>(below + plane * kNumbers, 64);
          multiply_tiles<2, 5, 6>(), multiply_tiles<3, 5, 7>();
        }
      }
    }
  }
  store_tile<0>(c, row_bytes), store_tile<1>(c + 16, row_bytes);
  if (panels == 2) store_tile<2>(c_below, row_bytes), store_tile<3>(c_below + 16, row_bytes);
}

}  // namespace
