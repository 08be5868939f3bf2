// Float32 product: tiles of activations times panels of weights, widened from their stored form as they are needed.
#pragma once

#include "kernels/table.h"

namespace {

constexpr int64_t kFloatColumns = kFloatVectors * kLanes;

// A tile of sums: rows of `a` times columns of `b`. a: value k of row r at a[r * row_step + k * depth_step].
template <int rows, bool packed, bool accumulate>
inline __attribute__((always_inline)) void float_tile(const float* a, int64_t row_stride, const float* b,
                                                      int64_t b_stride, int64_t depth, float* c, int64_t c_stride) {
  Floats sums[rows][kFloatVectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kFloatVectors; v++)
      sums[r][v] = accumulate ? load(c + r * c_stride + v * kLanes) : broadcast(0.0f);
  for (int64_t k = 0; k < depth; k++) {
    Floats weights[kFloatVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kFloatVectors; v++) weights[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      const Floats x = broadcast(packed ? a[r] : a[r * row_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kFloatVectors; v++) sums[r][v] = multiply_add(x, weights[v], sums[r][v]);
    }
    a += packed ? rows : 1;
    b += b_stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kFloatVectors; v++) store(c + r * c_stride + v * kLanes, sums[r][v]);
}

inline Floats load_stored(const uint8_t* from, kernels::Storage storage) {
  if (storage == kernels::Storage::kBfloat16) return load_bfloat16(from);
  if (storage == kernels::Storage::kFloat16) return load_float16(from);
  return load_float32(from);
}

inline int64_t stored_bytes(kernels::Storage storage) { return storage == kernels::Storage::kFloat32 ? 4 : 2; }

// Up to kLanes values at the end of a row, zeros after them.
inline Floats load_stored_part(const uint8_t* from, kernels::Storage storage, int64_t count) {
  uint8_t padded[kLanes * 4] = {};
  memcpy(padded, from, count * stored_bytes(storage));
  return load_stored(padded, storage);
}

// Inputs first..first+depth of kFloatColumns outputs, turned so that the outputs lie side by side: (depth, outputs).
inline void widen_panel(const kernels::StoredMatrix& matrix, int64_t output, int64_t first, int64_t depth,
                        float* panel) {
  const int64_t width = stored_bytes(matrix.storage), row_bytes = matrix.inputs * width;
  for (int64_t column = 0; column < kFloatColumns; column += kLanes) {
    for (int64_t k = 0; k < depth; k += kLanes) {
      const int64_t count = depth - k < kLanes ? depth - k : kLanes;
      Floats block[kLanes];
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; r++) {
        const int64_t row = output + column + r;
        const uint8_t* from = matrix.data + row * row_bytes + (first + k) * width;
        if (row >= matrix.outputs)
          block[r] = broadcast(0.0f);
        else
          block[r] = count == kLanes ? load_stored(from, matrix.storage) : load_stored_part(from, matrix.storage, count);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; r++)
        if (r < count) store(panel + (k + r) * kFloatColumns + column, block[r]);
    }
  }
}

void multiply_float(const float* packed, int64_t tiles, const kernels::StoredMatrix& matrix, int64_t first,
                    int64_t columns, float* out, int64_t stride, float* scratch) {
  const int64_t blocks = (matrix.inputs + kernels::kFloatDepth - 1) / kernels::kFloatDepth;
  const int64_t depth = ((matrix.inputs + blocks - 1) / blocks + 15) / 16 * 16;
  for (int64_t column = 0; column < columns; column += kFloatColumns) {
    for (int64_t k = 0; k < matrix.inputs; k += depth) {
      const int64_t here = matrix.inputs - k < depth ? matrix.inputs - k : depth;
      widen_panel(matrix, first + column, k, here, scratch);
      for (int64_t tile = 0; tile < tiles; tile++) {
        const float* a = packed + (tile * matrix.inputs + k) * kFloatRows;
        float* c = out + tile * kFloatRows * stride + column;
        if (k == 0)
          float_tile<kFloatRows, true, false>(a, 0, scratch, kFloatColumns, here, c, stride);
        else
          float_tile<kFloatRows, true, true>(a, 0, scratch, kFloatColumns, here, c, stride);
      }
    }
  }
}

}  // namespace
