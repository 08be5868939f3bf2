// The float32 product: micropanels of activations times micropanels of weights.
//
// Weights stay as the file holds them (bfloat16, float16 or float32). A micropanel of KC inputs and NR outputs is converted
// to float32 and transposed when the product comes to it, once for all tokens of a chunk.
#pragma once

#include "kernels/kernels.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define ALWAYS_INLINE __forceinline
#else
#define ALWAYS_INLINE inline __attribute__((always_inline))
#endif

namespace {

constexpr int64_t kF32NR = kF32Vectors * kLanes;

// C = A B or, with `accumulate`, C += A B: sums of `rows` times NR stay in registers.
// a: micropanel (depth, rows) if `packed`, otherwise (rows, depth) with rows `row_stride` apart;
// b (depth, NR), rows `b_stride` apart; c (rows, NR), rows `c_stride` apart
template <int rows, bool packed, bool accumulate>
ALWAYS_INLINE void f32_microkernel(const float* a, int64_t row_stride, const float* b, int64_t b_stride,
                                   int64_t depth, float* c, int64_t c_stride) {
  Floats sums[rows][kF32Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kF32Vectors; v++)
      sums[r][v] = accumulate ? load(c + r * c_stride + v * kLanes) : broadcast(0.0f);
  for (int64_t k = 0; k < depth; k++) {
    Floats weights[kF32Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < kF32Vectors; v++) weights[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      const Floats x = broadcast(packed ? a[r] : a[r * row_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kF32Vectors; v++) sums[r][v] = multiply_add(x, weights[v], sums[r][v]);
    }
    a += packed ? rows : 1;
    b += b_stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int v = 0; v < kF32Vectors; v++) store(c + r * c_stride + v * kLanes, sums[r][v]);
}

inline Floats load_as_f32(const uint8_t* from, kernels::DType dtype) {
  if (dtype == kernels::DType::kBF16) return load_bf16(from);
  if (dtype == kernels::DType::kF16) return load_f16(from);
  return load_f32(from);
}

inline int64_t dtype_bytes(kernels::DType dtype) { return dtype == kernels::DType::kF32 ? 4 : 2; }

// `count` values at the end of a row, then zeros.
inline Floats load_part_as_f32(const uint8_t* from, kernels::DType dtype, int64_t count) {
  uint8_t padded[kLanes * 4] = {};
  memcpy(padded, from, count * dtype_bytes(dtype));
  return load_as_f32(padded, dtype);
}

// One micropanel of B. matrix (outputs, inputs); panel (depth, NR): inputs first..first+depth of outputs output..output+NR
inline void pack_weights_f32(const kernels::StoredMatrix& matrix, int64_t output, int64_t first, int64_t depth,
                             float* panel) {
  const int64_t width = dtype_bytes(matrix.dtype), row_bytes = matrix.inputs * width;
  for (int64_t column = 0; column < kF32NR; column += kLanes) {
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
          block[r] = count == kLanes ? load_as_f32(from, matrix.dtype) : load_part_as_f32(from, matrix.dtype, count);
      }
      transpose(block);
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; r++)
        if (r < count) store(panel + (k + r) * kF32NR + column, block[r]);
    }
  }
}

// prepare(weights, count): what is done to a micropanel of B before it is multiplied
template <typename Prepare>
void gemm_f32_with(const float* packed, int64_t panels, const kernels::StoredMatrix& matrix, int64_t first,
                   int64_t columns, float* out, int64_t stride, float* scratch, const Prepare& prepare) {
  // Blocks of about equal depth, whole cache lines.
  const int64_t blocks = (matrix.inputs + kernels::kF32KC - 1) / kernels::kF32KC;
  const int64_t depth = ((matrix.inputs + blocks - 1) / blocks + 15) / 16 * 16;
  for (int64_t column = 0; column < columns; column += kF32NR) {
    for (int64_t k = 0; k < matrix.inputs; k += depth) {
      const int64_t here = matrix.inputs - k < depth ? matrix.inputs - k : depth;
      pack_weights_f32(matrix, first + column, k, here, scratch);
      prepare(scratch, here * kF32NR);
      for (int64_t panel = 0; panel < panels; panel++) {
        const float* a = packed + (panel * matrix.inputs + k) * kF32MR;
        float* c = out + panel * kF32MR * stride + column;
        if (k == 0)
          f32_microkernel<kF32MR, true, false>(a, 0, scratch, kF32NR, here, c, stride);
        else
          f32_microkernel<kF32MR, true, true>(a, 0, scratch, kF32NR, here, c, stride);
      }
    }
  }
}

void gemm_f32(const float* packed, int64_t panels, const kernels::StoredMatrix& matrix, int64_t first, int64_t columns,
              float* out, int64_t stride, float* scratch) {
  gemm_f32_with(packed, panels, matrix, first, columns, out, stride, scratch, [](float*, int64_t) {});
}

}  // namespace
