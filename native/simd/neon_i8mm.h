// The integer sums of the 8-bit product with SMMLA.
//
// It multiplies two rows of eight bytes by two outputs of eight bytes into four sums. Its bytes are signed, so a panel
// gives back the 128 of its weights once for all tiles, and the offsets are not needed.
#pragma once

#include "kernels/kernels.h"
#include "simd/arm_features.h"
#include "simd/neon.h"

namespace {

// With 16 outputs at a time: 24 vectors of sums, 3 of activations and 1 of weights, 28 of 32 registers.
constexpr int kInt8MR = 6;
constexpr int kInt8Vectors = 4;

using PackedWeight = int8_t;

inline bool has_i8mm() { return has_feature(26, 13, "hw.optional.arm.FEAT_I8MM"); }

// Words of 4 bytes of a and of b by turns: the first two of each, and the last two.
inline int8x16_t first_words(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
inline int8x16_t last_words(int8x16_t a, int8x16_t b) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

// (depth / 4, NR, 4) -> (depth / 8, NR, 8)
inline const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch) {
  PackedWeight* to = static_cast<PackedWeight*>(scratch);
  for (int64_t k = 0; k < depth; k += 8, weights += kernels::kInt8NR * 8)
    for (int64_t n = 0; n < kernels::kInt8NR; n += 4, to += 32) {
      const int8x16_t first = signed_weights(weights + n * 4);
      const int8x16_t second = signed_weights(weights + (kernels::kInt8NR + n) * 4);
      vst1q_s8(to, first_words(first, second));
      vst1q_s8(to + 16, last_words(first, second));
    }
  return static_cast<PackedWeight*>(scratch);
}

inline void group_sums(const int8_t* a, const int32_t*, const PackedWeight* b, int64_t column, int64_t group,
                       Integers sums[kInt8MR][kInt8Vectors]) {
  constexpr int kRowPairs = kInt8MR / 2, kOutputPairs = 2 * kInt8Vectors;
  int32x4_t squares[kRowPairs][kOutputPairs];
#pragma GCC unroll 4
  for (int r = 0; r < kRowPairs; r++)
#pragma GCC unroll 8
    for (int n = 0; n < kOutputPairs; n++) squares[r][n] = vdupq_n_s32(0);
  b += column * 8;
  for (int64_t k = 0; k < group; k += 8, a += kInt8MR * 8, b += kernels::kInt8NR * 8) {
    // Four rows a load, and rows 2 to 5 from the middle, so that nothing is read beyond the last group.
    const int8_t* next = a + kInt8MR * 4;
    const int8x16_t x[kRowPairs] = {first_words(vld1q_s8(a), vld1q_s8(next)), last_words(vld1q_s8(a), vld1q_s8(next)),
                                    last_words(vld1q_s8(a + 8), vld1q_s8(next + 8))};
#pragma GCC unroll 8
    for (int n = 0; n < kOutputPairs; n++) {
      const int8x16_t weights = vld1q_s8(b + n * 16);
#pragma GCC unroll 4
      for (int r = 0; r < kRowPairs; r++) squares[r][n] = vmmlaq_s32(squares[r][n], x[r], weights);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowPairs; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kInt8Vectors; v++) {
      const int64x2_t first = vreinterpretq_s64_s32(squares[r][2 * v]);
      const int64x2_t second = vreinterpretq_s64_s32(squares[r][2 * v + 1]);
      sums[2 * r][v] = vreinterpretq_s32_s64(vzip1q_s64(first, second));
      sums[2 * r + 1][v] = vreinterpretq_s32_s64(vzip2q_s64(first, second));
    }
}

}  // namespace
