// Activations -> float32 micropanels of A: MR rows, value by value next to one another.
#pragma once

#include "kernels/kernels.h"
#include "kernels/rmsnorm.h"

namespace {

// x (columns) becomes row `row` of packed (panels, depth, MR), from column `first` on.
inline void pack_row_f32(const float* x, int64_t columns, int64_t row, int64_t first, int64_t depth, float* packed) {
  float* to = packed + (row / kF32MR * depth + first) * kF32MR + row % kF32MR;
  for (int64_t c = 0; c < columns; c++) to[c * kF32MR] = x[c];
}

// The rows of the last panel after the first `rows`.
inline void pack_zeros_f32(int64_t rows, int64_t columns, int64_t first, int64_t depth, float* packed) {
  for (int64_t row = rows; row % kF32MR; row++) {
    float* to = packed + (row / kF32MR * depth + first) * kF32MR + row % kF32MR;
    for (int64_t c = 0; c < columns; c++) to[c * kF32MR] = 0.0f;
  }
}

void pack_f32(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
              float* packed) {
  for (int64_t row = 0; row < rows; row++) pack_row_f32(x + row * stride, columns, row, first, depth, packed);
  pack_zeros_f32(rows, columns, first, depth, packed);
}

void rmsnorm_pack_f32(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                      float* packed, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    rmsnorm_row(x + row * stride, columns, weight, epsilon, scratch);
    pack_row_f32(scratch, columns, row, 0, columns, packed);
  }
  pack_zeros_f32(rows, columns, 0, columns, packed);
}

}  // namespace
