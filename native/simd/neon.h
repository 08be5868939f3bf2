// 64-bit ARM: 4 floats a vector, 32 registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace {

using Floats = float32x4_t;
using Integers = int32x4_t;

constexpr int kLanes = 4;
// 24 sums, 4 vectors of weights, 1 activation: 29 of 32 registers, and 10 loads for 24 multiplications. Columns must
// divide the 64 outputs of a panel and attention's blocks of 512 keys, which rules out 12.
constexpr int kF32MR = 6;
constexpr int kF32Vectors = 4;

inline Floats load(const float* from) { return vld1q_f32(from); }
inline void store(float* to, Floats x) { vst1q_f32(to, x); }
inline Floats broadcast(float x) { return vdupq_n_f32(x); }
inline Floats add(Floats x, Floats y) { return vaddq_f32(x, y); }
inline Floats subtract(Floats x, Floats y) { return vsubq_f32(x, y); }
inline Floats multiply(Floats x, Floats y) { return vmulq_f32(x, y); }
inline Floats divide(Floats x, Floats y) { return vdivq_f32(x, y); }
inline Floats multiply_add(Floats x, Floats y, Floats z) { return vfmaq_f32(z, x, y); }
// As x86 does it: where one of them is NaN, the second. VMAX would give NaN whichever it is.
inline Floats maximum(Floats x, Floats y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
inline Floats minimum(Floats x, Floats y) { return vbslq_f32(vcltq_f32(x, y), x, y); }
inline Floats absolute(Floats x) { return vabsq_f32(x); }
inline Floats round_to_nearest(Floats x) { return vrndnq_f32(x); }
inline float reduce_add(Floats x) { return vaddvq_f32(x); }
inline float reduce_max(Floats x) { return vmaxvq_f32(x); }
// x, or 0 where y < z.
inline Floats zero_where_less(Floats x, Floats y, Floats z) { return vbslq_f32(vcltq_f32(y, z), vdupq_n_f32(0.0f), x); }
// 2^n in two halves, as one factor cannot reach from the smallest to the largest number; beyond them 0 and infinity.
inline Floats scale_by_power_of_two(Floats x, Floats n) {
  const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
  const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
  return vmulq_f32(vmulq_f32(x, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

inline Floats load_bf16(const uint8_t* from) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(from)), 16));
}
inline Floats load_f16(const uint8_t* from) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(from))); }
inline Floats load_f32(const uint8_t* from) { return vreinterpretq_f32_u8(vld1q_u8(from)); }

inline Integers to_integers(Floats x) { return vcvtnq_s32_f32(x); }
inline Floats to_floats(Integers x) { return vcvtq_f32_s32(x); }
inline Integers bits_of(Floats x) { return vreinterpretq_s32_f32(x); }
inline Integers maximum(Integers x, Integers y) { return vmaxq_s32(x, y); }
inline int32_t reduce_max(Integers x) { return vmaxvq_s32(x); }
inline int32_t reduce_add(Integers x) { return vaddvq_s32(x); }
inline Integers add(Integers x, Integers y) { return vaddq_s32(x, y); }
inline Integers subtract(Integers x, Integers y) { return vsubq_s32(x, y); }
inline Integers broadcast(int32_t x) { return vdupq_n_s32(x); }
template <int bits> inline Integers shift_left(Integers x) { return vshlq_n_s32(x, bits); }
template <int bits> inline Integers shift_right(Integers x) { return vshrq_n_s32(x, bits); }
// The low byte of each of 4 numbers.
inline void store_bytes(int8_t* to, Integers x) {
  const int16x4_t words = vmovn_s32(x);
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
  memcpy(to, &four, 4);
}

// A block of 4 by 4 floats, transposed.
inline void transpose(Floats row[kLanes]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(row[0], row[1]));
  const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(row[0], row[1]));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(row[2], row[3]));
  const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(row[2], row[3]));
  row[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
  row[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
  row[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
  row[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

// 16 weights without the 128 that is added to each of a panel.
inline int8x16_t signed_weights(const uint8_t* weights) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(weights), vdupq_n_u8(0x80)));
}

}  // namespace
