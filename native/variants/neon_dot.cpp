// 64-bit ARM with the dot product of ARMv8.2: Apple from M1, Graviton from 2, Raspberry Pi from 5.
//
// The dot product takes bytes that are both signed, so a panel gives back the 128 of its weights once for all tiles,
// and the offsets are not needed.
#include "kernels/kernels.h"
#include "simd/arm_features.h"
#include "simd/neon.h"

namespace {

// With 16 outputs at a time: 24 sums, 4 vectors of weights, 2 of activations, 30 of 32 registers.
constexpr int kInt8MR = 6;
constexpr int kInt8Vectors = 4;

using PackedWeight = int8_t;

bool supported() { return has_feature(16, 20, "hw.optional.arm.FEAT_DotProd"); }

inline const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch) {
  PackedWeight* to = static_cast<PackedWeight*>(scratch);
  for (int64_t i = 0; i < depth * kernels::kInt8NR; i += 16) vst1q_s8(to + i, signed_weights(weights + i));
  return to;
}

// Integer sums of 6 rows of bytes times 16 outputs, over one group.
inline void group_sums(const int8_t* a, const int32_t*, const PackedWeight* b, int64_t column, int64_t group,
                       Integers sums[kInt8MR][kInt8Vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kInt8MR; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kInt8Vectors; v++) sums[r][v] = vdupq_n_s32(0);
  b += column * 4;
  for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += kernels::kInt8NR * 4) {
    const int8x16_t first = vld1q_s8(a);
    const int8x8_t last = vld1_s8(a + 16);
#pragma GCC unroll 4
    for (int v = 0; v < kInt8Vectors; v++) {
      const int8x16_t weights = vld1q_s8(b + v * 16);
      sums[0][v] = vdotq_laneq_s32(sums[0][v], weights, first, 0);
      sums[1][v] = vdotq_laneq_s32(sums[1][v], weights, first, 1);
      sums[2][v] = vdotq_laneq_s32(sums[2][v], weights, first, 2);
      sums[3][v] = vdotq_laneq_s32(sums[3][v], weights, first, 3);
      sums[4][v] = vdotq_lane_s32(sums[4][v], weights, last, 0);
      sums[5][v] = vdotq_lane_s32(sums[5][v], weights, last, 1);
    }
  }
}

}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kNeonDot;
const KernelTable kNeonDot = kernel_table("neon-dot");
}  // namespace kernels
