// x86-64 with AVX2: almost every processor since 2013.
//
// The 8-bit product converts weights to 16 bits and multiplies pairs of those: VPMADDUBSW on bytes would saturate.
#include "kernels/kernels.h"
#include "simd/avx2.h"

namespace {

constexpr int kInt8MR = 6;
constexpr int kInt8Vectors = 2;

using PackedWeight = int16_t;

bool supported() { return has_avx2(); }

// (depth / 4, 64, 4) bytes -> the same in 16 bits.
inline const PackedWeight* prepare_micropanel(const uint8_t* weights, int64_t depth, void* scratch) {
  PackedWeight* wide = static_cast<PackedWeight*>(scratch);
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
inline void half_group_sums(const int8_t* a, const int32_t* offsets, const PackedWeight* b, int64_t group,
                            Integers sums[3][kInt8Vectors]) {
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

inline void group_sums(const int8_t* a, const int32_t* offsets, const PackedWeight* b, int64_t column, int64_t group,
                       Integers sums[kInt8MR][kInt8Vectors]) {
  for (int half = 0; half < kInt8MR; half += 3)
    half_group_sums(a + half * 4, offsets + half, b + column * 4, group, sums + half);
}

}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvx2;
const KernelTable kAvx2 = kernel_table("avx2");
}  // namespace kernels
