// AVX-512 with BF16: conversions to bfloat16, and weights in pairs of inputs.
#pragma once

#include "kernels/kernels.h"
#include "simd/avx512.h"

namespace {

// Lanes rounded to bfloat16, to nearest even.
inline void store_bf16(uint16_t* to, Floats x) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x)); }

// 32 floats as a sum of bfloat16 numbers: the first plane is rounded, the next one holds the rest, and so on.
// x (32); to (planes, 32), planes `plane_stride` apart
template <int planes>
inline void split_bf16(const float* x, uint16_t* to, int64_t plane_stride) {
  Floats low = load(x), high = load(x + kLanes);
#pragma GCC unroll 3
  for (int plane = 0; plane < planes; plane++, to += plane_stride) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_storeu_si512(to, both);
    if (plane + 1 == planes) break;
    const auto widened = [](__m256i half) {
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    };
    low = subtract(low, widened(_mm512_castsi512_si256(both)));
    high = subtract(high, widened(_mm512_extracti64x4_epi64(both, 1)));
  }
}

// 16 rows of 32 bfloat16 numbers, `stride` bytes apart -> to (16 pairs, 16 rows, 2).
inline void transpose_pairs(const uint8_t* from, int64_t stride, uint16_t* to) {
#pragma GCC unroll 4
  for (int64_t quarter = 0; quarter < 4; quarter++, from += 16, to += 128) {
    // Four pairs of rows i, 4 + i, 8 + i and 12 + i. Loads put them in place, as a processor shuffles only one vector
    // in a cycle.
    const auto rows = [&](int64_t i) {
      const auto pairs = [&](int64_t row) { return _mm_loadu_si128((const __m128i*)(from + row * stride)); };
      __m512i four = _mm512_castsi128_si512(pairs(i));
      four = _mm512_inserti32x4(four, pairs(4 + i), 1);
      four = _mm512_inserti32x4(four, pairs(8 + i), 2);
      return _mm512_inserti32x4(four, pairs(12 + i), 3);
    };
    const __m512i a = rows(0), b = rows(1), c = rows(2), d = rows(3);
    const __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    const __m512i ab_high = _mm512_unpackhi_epi32(a, b), cd_high = _mm512_unpackhi_epi32(c, d);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi64(ab, cd));
    _mm512_storeu_si512(to + 32, _mm512_unpackhi_epi64(ab, cd));
    _mm512_storeu_si512(to + 64, _mm512_unpacklo_epi64(ab_high, cd_high));
    _mm512_storeu_si512(to + 96, _mm512_unpackhi_epi64(ab_high, cd_high));
  }
}

// 8-bit weights of 16 outputs and 32 inputs, rounded to bfloat16 -> to (16 pairs, 16 outputs, 2).
// bytes (8, 16, 4), rows 4 * kInt8NR apart; scales (16)
inline void dequantize_pairs(const uint8_t* bytes, const float* scales, uint16_t* to) {
  alignas(64) static constexpr uint16_t kInterleave[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                           8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i interleave = _mm512_load_si512(kInterleave);
  const Floats scale = load(scales);
  for (int64_t four = 0; four < 8; four++, bytes += 4 * kernels::kInt8NR, to += 64) {
    const __m512i weights = _mm512_xor_si512(_mm512_loadu_si512(bytes), _mm512_set1_epi8(-128));
    const auto input = [&](__m512i moved_up) { return multiply(to_floats(_mm512_srai_epi32(moved_up, 24)), scale); };
    const Floats first = input(_mm512_slli_epi32(weights, 24)), second = input(_mm512_slli_epi32(weights, 16));
    const Floats third = input(_mm512_slli_epi32(weights, 8)), fourth = input(weights);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(second, first)));
    _mm512_storeu_si512(to + 32, _mm512_permutexvar_epi16(interleave, (__m512i)_mm512_cvtne2ps_pbh(fourth, third)));
  }
}

}  // namespace
