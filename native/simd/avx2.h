// AVX2 with FMA and half-precision conversion: 8 floats a vector, 16 registers.
#pragma once

#include <cpuid.h>
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

// Half-precision conversion by leaf 1, as Clang has no name for it.
inline bool has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) &&
         (c & bit_F16C);
}

using Floats = __m256;
using Integers = __m256i;

constexpr int kLanes = 8;
// 12 sums, 2 vectors of weights, 1 activation: 15 of 16 registers.
constexpr int kF32MR = 6;
constexpr int kF32Vectors = 2;

inline Floats load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, Floats x) { _mm256_storeu_ps(to, x); }
inline Floats broadcast(float x) { return _mm256_set1_ps(x); }
inline Floats add(Floats x, Floats y) { return _mm256_add_ps(x, y); }
inline Floats subtract(Floats x, Floats y) { return _mm256_sub_ps(x, y); }
inline Floats multiply(Floats x, Floats y) { return _mm256_mul_ps(x, y); }
inline Floats divide(Floats x, Floats y) { return _mm256_div_ps(x, y); }
inline Floats multiply_add(Floats x, Floats y, Floats z) { return _mm256_fmadd_ps(x, y, z); }
inline Floats maximum(Floats x, Floats y) { return _mm256_max_ps(x, y); }
inline Floats minimum(Floats x, Floats y) { return _mm256_min_ps(x, y); }
inline Floats absolute(Floats x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
inline Floats round_to_nearest(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline float reduce_add(Floats x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline float reduce_max(Floats x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
// x, or 0 where y < z.
inline Floats zero_where_less(Floats x, Floats y, Floats z) {
  return _mm256_andnot_ps(_mm256_cmp_ps(y, z, _CMP_LT_OQ), x);
}
// 2^n in two halves, as one factor cannot reach from the smallest to the largest number; beyond them 0 and infinity.
inline Floats scale_by_power_of_two(Floats x, Floats n) {
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

inline Floats load_bf16(const uint8_t* from) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)), 16));
}
inline Floats load_f16(const uint8_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)); }
inline Floats load_f32(const uint8_t* from) {
  return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i*)from));
}

inline Integers to_integers(Floats x) { return _mm256_cvtps_epi32(x); }
inline Floats to_floats(Integers x) { return _mm256_cvtepi32_ps(x); }
inline Integers bits_of(Floats x) { return _mm256_castps_si256(x); }
inline Integers maximum(Integers x, Integers y) { return _mm256_max_epi32(x, y); }
inline int32_t reduce_max(Integers x) {
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
inline int32_t reduce_add(Integers x) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
inline Integers add(Integers x, Integers y) { return _mm256_add_epi32(x, y); }
inline Integers subtract(Integers x, Integers y) { return _mm256_sub_epi32(x, y); }
inline Integers broadcast(int32_t x) { return _mm256_set1_epi32(x); }
template <int bits> inline Integers shift_left(Integers x) { return _mm256_slli_epi32(x, bits); }
template <int bits> inline Integers shift_right(Integers x) { return _mm256_srai_epi32(x, bits); }
inline void store_bytes(int8_t* to, Integers x) {
  const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                         0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i bytes = _mm256_shuffle_epi8(x, order);
  const int32_t low = _mm256_extract_epi32(bytes, 0), high = _mm256_extract_epi32(bytes, 4);
  memcpy(to, &low, 4);
  memcpy(to + 4, &high, 4);
}

// A block of 8 by 8 floats, transposed.
inline void transpose(Floats row[kLanes]) {
  Floats pair[8], four[8];
  for (int i = 0; i < 4; i++) {
    pair[2 * i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
    pair[2 * i + 1] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    four[4 * i] = _mm256_shuffle_ps(pair[4 * i], pair[4 * i + 2], 0x44);
    four[4 * i + 1] = _mm256_shuffle_ps(pair[4 * i], pair[4 * i + 2], 0xee);
    four[4 * i + 2] = _mm256_shuffle_ps(pair[4 * i + 1], pair[4 * i + 3], 0x44);
    four[4 * i + 3] = _mm256_shuffle_ps(pair[4 * i + 1], pair[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    row[i] = _mm256_permute2f128_ps(four[i], four[4 + i], 0x20);
    row[4 + i] = _mm256_permute2f128_ps(four[i], four[4 + i], 0x31);
  }
}

}  // namespace
