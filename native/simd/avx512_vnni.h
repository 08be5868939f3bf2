// The 8-bit product with AVX-512 VNNI: 6 rows of bytes times 64 outputs, 24 sums in registers.
#pragma once

#include "kernels/kernels.h"
#include "simd/avx512.h"

namespace {

inline bool has_avx512_vnni() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

constexpr int kInt8MR = 6;
constexpr int kInt8Vectors = 4;

// Four products of unsigned and signed bytes added to each sum. Not the intrinsic: GCC 12 copies and spills its sums.
inline void dot(Integers& sums, Integers weights, Integers x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(x));
}

}  // namespace

#include "simd/vnni.h"
