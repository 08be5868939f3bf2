// AVX-512 with VNNI: 16 floats a vector, 32 registers, four products of 8-bit numbers summed in one instruction.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

using Floats = __m512;
using Integers = __m512i;

constexpr int kLanes = 16;
// 24 sums, 2 vectors of weights, 1 activation: 27 of 32 registers.
constexpr int kF32MR = 12;
constexpr int kF32Vectors = 2;

inline Floats load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Floats x) { _mm512_storeu_ps(to, x); }
inline Floats broadcast(float x) { return _mm512_set1_ps(x); }
inline Floats add(Floats x, Floats y) { return _mm512_add_ps(x, y); }
inline Floats subtract(Floats x, Floats y) { return _mm512_sub_ps(x, y); }
inline Floats multiply(Floats x, Floats y) { return _mm512_mul_ps(x, y); }
inline Floats divide(Floats x, Floats y) { return _mm512_div_ps(x, y); }
inline Floats multiply_add(Floats x, Floats y, Floats z) { return _mm512_fmadd_ps(x, y, z); }
inline Floats maximum(Floats x, Floats y) { return _mm512_max_ps(x, y); }
inline Floats minimum(Floats x, Floats y) { return _mm512_min_ps(x, y); }
inline Floats absolute(Floats x) { return _mm512_abs_ps(x); }
inline Floats round_to_nearest(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline float reduce_add(Floats x) { return _mm512_reduce_add_ps(x); }
inline float reduce_max(Floats x) { return _mm512_reduce_max_ps(x); }
// x, or 0 where y < z.
inline Floats zero_where_less(Floats x, Floats y, Floats z) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, z, _CMP_NLT_UQ), x);
}
// x * 2^n for whole n, with overflow to infinity and underflow to zero.
inline Floats scale_by_power_of_two(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }

inline Floats load_bf16(const uint8_t* from) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16));
}
inline Floats load_f16(const uint8_t* from) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from)); }
inline Floats load_f32(const uint8_t* from) { return _mm512_loadu_ps(from); }

inline Integers to_integers(Floats x) { return _mm512_cvtps_epi32(x); }
inline Floats to_floats(Integers x) { return _mm512_cvtepi32_ps(x); }
inline Integers bits_of(Floats x) { return _mm512_castps_si512(x); }
inline Integers maximum(Integers x, Integers y) { return _mm512_max_epi32(x, y); }
inline int32_t reduce_max(Integers x) { return _mm512_reduce_max_epi32(x); }
inline int32_t reduce_add(Integers x) { return _mm512_reduce_add_epi32(x); }
inline Integers add(Integers x, Integers y) { return _mm512_add_epi32(x, y); }
inline Integers subtract(Integers x, Integers y) { return _mm512_sub_epi32(x, y); }
inline Integers broadcast(int32_t x) { return _mm512_set1_epi32(x); }
template <int bits> inline Integers shift_left(Integers x) { return _mm512_slli_epi32(x, bits); }
template <int bits> inline Integers shift_right(Integers x) { return _mm512_srai_epi32(x, bits); }
// The low byte of each of 16 numbers.
inline void store_bytes(int8_t* to, Integers x) { _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8(x)); }

// A block of 16 by 16 floats, transposed.
inline void transpose(Floats row[kLanes]) {
  Floats half[16], quarter[16];
  for (int i = 0; i < 8; i++) {
    half[2 * i] = _mm512_unpacklo_ps(row[2 * i], row[2 * i + 1]);
    half[2 * i + 1] = _mm512_unpackhi_ps(row[2 * i], row[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    const __m512d a = _mm512_castps_pd(half[4 * i]), b = _mm512_castps_pd(half[4 * i + 2]);
    const __m512d c = _mm512_castps_pd(half[4 * i + 1]), d = _mm512_castps_pd(half[4 * i + 3]);
    quarter[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    quarter[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    quarter[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    quarter[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
  }
  for (int i = 0; i < 4; i++) {
    const Floats a = _mm512_shuffle_f32x4(quarter[i], quarter[4 + i], 0x88);
    const Floats b = _mm512_shuffle_f32x4(quarter[i], quarter[4 + i], 0xdd);
    const Floats c = _mm512_shuffle_f32x4(quarter[8 + i], quarter[12 + i], 0x88);
    const Floats d = _mm512_shuffle_f32x4(quarter[8 + i], quarter[12 + i], 0xdd);
    row[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    row[8 + i] = _mm512_shuffle_f32x4(a, c, 0xdd);
    row[4 + i] = _mm512_shuffle_f32x4(b, d, 0x88);
    row[12 + i] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

}  // namespace
