// x86-64 with AVX2: almost every processor since 2013.
//
// The 8-bit product converts weights to 16 bits and multiplies pairs of those: VPMADDUBSW on bytes would saturate.
#include "kernels/kernels.h"
#include "simd/avx2.h"

namespace {

constexpr int kInt8MR = 6;

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

// (depth / 4, 64, 4) bytes -> the same in 16 bits.
inline const void* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch) {
  int16_t* wide = static_cast<int16_t*>(scratch);
  for (int64_t i = 0; i < depth * kernels::kInt8NR; i += 16)
    _mm256_storeu_si256((__m256i*)(wide + i), _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)(weights + i))));
  return wide;
}

inline __m256i four_values(const int8_t* from) {
  int32_t four;
  memcpy(&four, from, 4);
  return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
}

// Integer sums of 3 rows of bytes times 16 outputs, over one group.
inline void group_sums(const int8_t* a, const int32_t* offsets, const int16_t* b, int64_t group,
                       __m256i sums[3][2]) {
  __m256i pairs[3][4];
#pragma GCC unroll 4
  for (int r = 0; r < 3; r++)
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) pairs[r][v] = _mm256_setzero_si256();
  for (int64_t k = 0; k < group; k += 4, a += kInt8MR * 4, b += kernels::kInt8NR * 4) {
    const __m256i x[3] = {four_values(a), four_values(a + 4), four_values(a + 8)};
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
      const __m256i weights = _mm256_loadu_si256((const __m256i*)(b + v * 16));
#pragma GCC unroll 4
      for (int r = 0; r < 3; r++) pairs[r][v] = _mm256_add_epi32(pairs[r][v], _mm256_madd_epi16(weights, x[r]));
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 3; r++)
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
      const __m256i both = _mm256_hadd_epi32(pairs[r][2 * v], pairs[r][2 * v + 1]);
      sums[r][v] = _mm256_add_epi32(_mm256_permute4x64_epi64(both, 0xd8), _mm256_set1_epi32(offsets[r]));
    }
}

template <int planes>
inline void int8_microkernel(const int8_t* a, const float* scales, const int32_t* offsets, const void* panel,
                             const float* weight_scales, int64_t groups, int64_t group, float* c, int64_t stride,
                             bool accumulate) {
  const int16_t* b = static_cast<const int16_t*>(panel);
  for (int64_t g = 0; g < groups; g++) {
    for (int column = 0; column < kernels::kInt8NR; column += 16) {
      __m256i sums[kInt8MR][2];
      for (int half = 0; half < 2; half++)
        group_sums(a + half * 12, offsets + half * 3, b + column * 4, group, sums + half * 3);
      for (int r = 0; r < kInt8MR / planes; r++)
        for (int v = 0; v < 2; v++) {
          float* to = c + r * stride + column + v * 8;
          __m256i total = sums[r * planes][v];
          if (planes == 2) total = add(shift_left<8>(total), sums[r * 2 + 1][v]);
          const Floats scaled = multiply(to_floats(total), load(weight_scales + column + v * 8));
          store(to, multiply_add(scaled, broadcast(scales[r]), accumulate ? load(to) : broadcast(0.0f)));
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

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvx2;
const KernelTable kAvx2 = kernel_table("avx2");
}  // namespace kernels
