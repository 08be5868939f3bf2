// 64-bit ARM with matrix products of bfloat16 and of 8 bits: Apple from M2, Graviton from 3, Nvidia Grace.
//
// BFMMLA multiplies two rows of four numbers by two outputs of four numbers into four sums.
#include "simd/neon_bf16.h"
#include "simd/neon_i8mm.h"

namespace {

bool supported() { return has_i8mm() && has_feature(26, 14, "hw.optional.arm.FEAT_BF16"); }

// Two outputs of two tokens: (first token's, second token's), from their rows in c.
inline float32x4_t load_square(const float* c, int64_t stride) {
  return vcombine_f32(vld1_f32(c), vld1_f32(c + stride));
}
inline void store_square(float* c, int64_t stride, float32x4_t square) {
  vst1_f32(c, vget_low_f32(square));
  vst1_f32(c + stride, vget_high_f32(square));
}

// 8 tokens times 8 outputs of a tile: 16 squares of sums, 4 vectors of activations and 4 of weights.
// a (steps, 16, 32), from a token on; b (steps, 2, 8, 8, 2, 4), from an output on;
// c (8, 8), rows `stride` apart
inline void eight_by_eight(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t stride,
                           bool accumulate) {
  constexpr int kPairs = 4, kNumbers = 512;  // of a tile
  float32x4_t squares[kPairs][kPairs];
#pragma GCC unroll 4
  for (int t = 0; t < kPairs; t++)
#pragma GCC unroll 4
    for (int n = 0; n < kPairs; n++)
      squares[t][n] = accumulate ? load_square(c + 2 * t * stride + 2 * n, stride) : broadcast(0.0f);
  for (int64_t step = 0; step < steps; step++, a += kNumbers, b += 2 * kNumbers)
    for (int64_t four = 0; four < 8; four++) {
      bfloat16x8_t x[kPairs];
#pragma GCC unroll 4
      for (int t = 0; t < kPairs; t++)
        x[t] = vreinterpretq_bf16_u16(
            vcombine_u16(vld1_u16(a + 2 * t * 32 + four * 4), vld1_u16(a + (2 * t + 1) * 32 + four * 4)));
#pragma GCC unroll 4
      for (int n = 0; n < kPairs; n++) {
        const bfloat16x8_t weights = vreinterpretq_bf16_u16(vld1q_u16(b + four * 64 + n * 8));
#pragma GCC unroll 4
        for (int t = 0; t < kPairs; t++) squares[t][n] = vbfmmlaq_f32(squares[t][n], x[t], weights);
      }
    }
#pragma GCC unroll 4
  for (int t = 0; t < kPairs; t++)
#pragma GCC unroll 4
    for (int n = 0; n < kPairs; n++) store_square(c + 2 * t * stride + 2 * n, stride, squares[t][n]);
}

// Three planes in place of float32 might be faster than FMA; no such processor was there to time them.
inline void eight_tokens(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t stride,
                         bool accumulate) {
  for (int64_t output = 0; output < 32; output += 8)
    eight_by_eight(a, b + output / 16 * 512 + output % 16 * 4, steps, c + output, stride, accumulate);
}

}  // namespace

#include "simd/bf16_vectors.h"

#include "kernels/without_tiles.h"
#include "kernels/gemm_bf16.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kNeonBf16;
const KernelTable kNeonBf16 = kernel_table("neon-bf16");
}  // namespace kernels
