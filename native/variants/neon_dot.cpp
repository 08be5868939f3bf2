// 64-bit ARM with the dot product of ARMv8.2: Apple from M1, Graviton from 2, Raspberry Pi from 5.
//
// The dot product takes bytes that are both signed, so a panel gives back the 128 of its weights once for all tiles,
// and the offsets are not needed.
#include "kernels/kernels.h"
#include "simd/neon.h"

#if defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace {

// With 16 outputs at a time: 24 sums, 4 vectors of weights, 2 of activations, 30 of 32 registers.
constexpr int kInt8MR = 6;
constexpr int kVectors = 4;

bool supported() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__APPLE__)
  int has = 0;
  size_t size = sizeof(has);
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has;
#else
  return false;
#endif
}

inline const void* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch) {
  uint8_t* signed_weights = static_cast<uint8_t*>(scratch);
  for (int64_t i = 0; i < depth * kernels::kInt8NR; i += 16)
    vst1q_u8(signed_weights + i, veorq_u8(vld1q_u8(weights + i), vdupq_n_u8(0x80)));
  return signed_weights;
}

// Integer sums of 6 rows of bytes times 16 outputs, over one group.
inline void group_sums(const int8_t* a, const int8_t* b, int64_t group, int32x4_t sums[kInt8MR][kVectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < kInt8MR; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) sums[r][v] = vdupq_n_s32(0);
  for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += kernels::kInt8NR * 4) {
    const int8x16_t first = vld1q_s8(a);
    const int8x8_t last = vld1_s8(a + 16);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) {
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

template <int planes>
inline void int8_microkernel(const int8_t* a, const float* scales, const int32_t*, const void* panel,
                             const float* weight_scales, int64_t groups, int64_t group, float* c, int64_t stride,
                             bool accumulate) {
  const int8_t* b = static_cast<const int8_t*>(panel);
  for (int64_t g = 0; g < groups; g++) {
    for (int column = 0; column < kernels::kInt8NR; column += kVectors * kLanes) {
      int32x4_t sums[kInt8MR][kVectors];
      group_sums(a, b + column * 4, group, sums);
#pragma GCC unroll 8
      for (int r = 0; r < kInt8MR / planes; r++) {
        const Floats by_row = broadcast(scales[r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) {
          float* to = c + r * stride + column + v * kLanes;
          int32x4_t total = sums[r * planes][v];
          if (planes == 2) total = add(shift_left<8>(total), sums[r * 2 + 1][v]);
          const Floats scaled = multiply(to_floats(total), load(weight_scales + column + v * kLanes));
          store(to, multiply_add(scaled, by_row, accumulate ? load(to) : broadcast(0.0f)));
        }
      }
    }
    accumulate = true;
    a += group * kInt8MR;
    b += group * kernels::kInt8NR;
    scales += kInt8MR / planes;
    weight_scales += kernels::kInt8NR;
  }
}

}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kNeonDot;
const KernelTable kNeonDot = kernel_table("neon-dot");
}  // namespace kernels
