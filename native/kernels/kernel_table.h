// The table of one variant; included last, by a file that has included its simd/ header, one of the bfloat16 products, and
// defined supported().
#pragma once

#include "kernels/gemm_f32.h"
#include "kernels/gemm_int8.h"
#include "kernels/pack.h"
#include "kernels/quantize.h"
#include "kernels/residual.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/scan_int8.h"
#include "kernels/swiglu.h"

namespace {

constexpr kernels::KernelTable kernel_table(const char* name) {
  return kernels::KernelTable{name,
                              supported,
                              kF32MR,
                              kF32NR,
                              kInt8MR,
                              rmsnorm,
                              pack_f32,
                              rmsnorm_pack_f32,
                              pack_int8,
                              rmsnorm_pack_int8,
                              gemm_f32,
                              gemm_int8,
                              {kBf16MR, kBf16NR, kFloat32Planes, bf16_panel_bytes, gemm_bf16_scratch, pack_bf16,
                               rmsnorm_pack_bf16, gemm_bf16, gemm_int8_as_bf16, bf16_sum_panels},
                              add_residual,
                              swiglu,
                              rmsnorm_rope,
                              attention,
                              attention_scratch,
                              quantize_int8,
                              scan_int8};
}

}  // namespace
