// Any processor: plain C++.
#include "simd/portable_int8.h"

namespace {
bool supported() { return true; }
}  // namespace

#include "kernels/gemm_bf16_widened.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kPortable;
const KernelTable kPortable = kernel_table("portable");
}  // namespace kernels
