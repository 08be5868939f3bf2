// x86-64 with AVX-512 and VNNI: Intel from Cascade Lake and Ice Lake, AMD from Zen 4.
#include "simd/avx512_vnni.h"

namespace {
bool supported() { return has_avx512_vnni(); }
}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAvx512Vnni;
const KernelTable kAvx512Vnni = kernel_table("avx512-vnni");
}  // namespace kernels
