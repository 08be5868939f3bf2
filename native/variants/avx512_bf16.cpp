// x86-64 with AVX-512 BF16: AMD from Zen 4, Intel's Cooper Lake, and its newer Xeons where AMX is not permitted.
//
// VDPBF16PS multiplies pairs of bfloat16 numbers and adds them in float32. An Emerald Rapids Xeon issues it a quarter as
// often as FMA, so that bfloat16 takes 1.6 times as long as float32 there (docs/log.md); on AMD it was not measured.
#include "simd/avx512_bf16.h"
#include "simd/avx512_vnni.h"

namespace {

bool supported() { return has_avx512_vnni() && __builtin_cpu_supports("avx512bf16"); }

// Two products of bfloat16 numbers added to each sum. Not the intrinsic: GCC 12 copies and spills its sums.
inline void dot_bf16(Floats& sums, Floats weights, Floats x) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(x));
}

// 8 tokens times 32 outputs: 16 sums, 2 vectors of weights, 1 of activations.
// a (steps, 16, 32), from a token on; b (steps, 2, 16 pairs, 16, 2); c (8, 32), rows `stride` apart
inline void eight_tokens(const uint16_t* a, const uint16_t* b, int64_t steps, float* c, int64_t stride,
                         bool accumulate) {
  constexpr int kTokens = 8, kPairs = 16, kNumbers = 512;  // of a tile
  Floats sums[kTokens][2];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) sums[t][v] = accumulate ? load(c + t * stride + v * kLanes) : broadcast(0.0f);
  for (int64_t step = 0; step < steps; step++, a += kNumbers, b += 2 * kNumbers)
    for (int pair = 0; pair < kPairs; pair++) {
      const auto weights_of = [&](int v) {
        return load_f32(reinterpret_cast<const uint8_t*>(b + v * kNumbers + pair * 32));
      };
      const Floats first = weights_of(0), second = weights_of(1);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; t++) {
        float two;
        memcpy(&two, a + t * 32 + pair * 2, sizeof(two));
        const Floats x = broadcast(two);
        dot_bf16(sums[t][0], first, x);
        dot_bf16(sums[t][1], second, x);
      }
    }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; t++)
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) store(c + t * stride + v * kLanes, sums[t][v]);
}

}  // namespace

#include "simd/bf16_vectors.h"

#include "kernels/without_tiles.h"
#include "kernels/gemm_bf16.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvx512Bf16;
const KernelTable kAvx512Bf16 = kernel_table("avx512-bf16");
}  // namespace kernels
