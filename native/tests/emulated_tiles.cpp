// The variant "amx" with its tiles in plain C++: for processors without them, and to compare with those that have them.
#include "emulated_tiles.h"

#include "simd/emulated_tiles.h"
#include "simd/bf16_tiles.h"
#include "simd/portable_bf16.h"
#include "simd/portable_int8.h"

namespace {
bool supported() { return true; }
}  // namespace

#include "kernels/attention_bf16.h"
#include "kernels/gemm_int8_as_bf16.h"
#include "kernels/kernel_table.h"

namespace kernels {
const KernelTable kEmulatedTiles = kernel_table("emulated");
}  // namespace kernels
