// x86-64 with AVX-512 and VNNI: Intel from Cascade Lake and Ice Lake, AMD from Zen 4.
#include "simd/avx512_vnni.h"

namespace {
bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvx512Vnni;
const KernelTable kAvx512Vnni = kernel_table("avx512-vnni");
}  // namespace kernels
