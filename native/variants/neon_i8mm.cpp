// 64-bit ARM with 8-bit matrix products: Apple from M2, Graviton from 3, Nvidia Grace.
#include "simd/neon_i8mm.h"

namespace {
bool supported() { return has_i8mm(); }
}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kNeonI8mm;
const KernelTable kNeonI8mm = kernel_table("neon-i8mm");
}  // namespace kernels
