// x86-64 with AVX-VNNI: Intel's processors without AVX-512 from Alder Lake, and AMD from Zen 5.
#include <cpuid.h>

#include "kernels/kernels.h"
#include "simd/avx2.h"

namespace {

// 12 sums, 2 vectors of weights, 1 of activations: 15 of 16 registers.
constexpr int kInt8MR = 6;
constexpr int kInt8Vectors = 2;

// Leaf 7.1, as GCC 12 has no name for this extension. That of AVX2 says too that the system keeps its registers.
bool supported() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
}

// Four products of unsigned and signed bytes added to each sum. Not the intrinsic: GCC 12 copies and spills its sums.
inline void dot(Integers& sums, Integers weights, Integers x) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(weights), "x"(x));
}

}  // namespace

#include "simd/vnni.h"

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvxVnni;
const KernelTable kAvxVnni = kernel_table("avx-vnni");
}  // namespace kernels
