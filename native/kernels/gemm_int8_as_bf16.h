// The bfloat16 product by weights of 8 bits.
#pragma once

#include "kernels/gemm_bf16.h"
#include "kernels/kernels.h"

namespace {

// Weights of 8 bits times their scales, rounded to bfloat16.
inline void pack_int8_weight_tile(const kernels::Int8Matrix& matrix, int64_t output, int64_t step, uint16_t* tile) {
  const int64_t groups = (matrix.inputs + matrix.group - 1) / matrix.group, input = step * kTileInputs;
  const int64_t block = output / kernels::kInt8NR * groups + input / matrix.group;
  const int64_t in_panel = output % kernels::kInt8NR;
  dequantize_pairs(matrix.bytes + (block * matrix.group + input % matrix.group) * kernels::kInt8NR + in_panel * 4,
                   matrix.scales + block * kernels::kInt8NR + in_panel, tile);
}

void gemm_int8_as_bf16(const void* packed, int64_t panels, const kernels::Int8Matrix* const* matrices, int64_t count,
                       int64_t first, int64_t columns, const kernels::RowsDone& done, float* sums, void* scratch) {
  gemm_planes<1>(static_cast<const uint16_t*>(packed), panels, matrices, count, pack_int8_weight_tile, first, columns,
                 done, sums, static_cast<uint16_t*>(scratch));
}

}  // namespace
