// Activations and weights in bfloat16, in the order in which tiles read them.
//
// A tile of activations has 16 tokens in rows of 32 inputs. A tile of weights has 16 pairs of inputs in rows of 16 outputs:
//
//       activations                                    weights
//
//       token 0    input 0 1 2 ...          31          inputs 0, 1     output 0: 0 1 | output 1: 0 1 | ...  output 15
//       token 1    input 0 1 2 ...          31          inputs 2, 3     output 0: 2 3 | output 1: 2 3 | ...
//         :                                               :
//       token 15   input 0 1 2 ...          31          inputs 30, 31
//
// Activations of float32 are split into planes: numbers of bfloat16 whose sum is the float32 number. Three planes hold its
// 24 bits exactly (oneMKL calls this bf16x3); kFloat32Planes is how many the variant takes, 0 where FMA is faster. A plane
// of weights is enough, as published weights are bfloat16.
#pragma once

#include <type_traits>

#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"
#include "kernels/rmsnorm.h"

namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileInputs = 32;
// Numbers of bfloat16 in a tile.
constexpr int64_t kTile = kTileRows * kTileInputs;

inline int64_t tiles_of(int64_t inputs) { return (inputs + kTileInputs - 1) / kTileInputs; }

// Bytes of a micropanel of 16 tokens.
int64_t bf16_panel_bytes(int64_t inputs, int64_t planes) { return tiles_of(inputs) * planes * kTile * 2; }

// Calls call(planes) with the number as a constant: it is 1 or kFloat32Planes.
template <typename Call>
inline void with_planes(int64_t planes, const Call& call) {
  if constexpr (kFloat32Planes > 0)
    if (planes == kFloat32Planes) return call(std::integral_constant<int, kFloat32Planes>());
  call(std::integral_constant<int, 1>());
}

// Inputs 32 * step.. of a row in planes; zeros beyond the row. row (columns); to (planes, 32), planes `plane_stride` apart
template <int planes>
inline void split_step(const float* row, int64_t columns, int64_t step, uint16_t* to, int64_t plane_stride) {
  const float* from = row + step * kTileInputs;
  const int64_t left = columns - step * kTileInputs;
  if (left >= kTileInputs) return split_bf16<planes>(from, to, plane_stride);
  float padded[kTileInputs] = {};
  memcpy(padded, from, left * sizeof(float));
  split_bf16<planes>(padded, to, plane_stride);
}

// x (columns) becomes row `row` of packed (panels, depth / 32, planes, 16, 32), from column `first` on.
template <int planes>
inline void pack_row_bf16(const float* x, int64_t columns, int64_t row, int64_t first, int64_t depth,
                          uint16_t* packed) {
  uint16_t* to = packed + (row / kTileRows * tiles_of(depth) + first / kTileInputs) * planes * kTile +
                 row % kTileRows * kTileInputs;
  for (int64_t step = 0; step < tiles_of(columns); step++, to += planes * kTile)
    split_step<planes>(x, columns, step, to, kTile);
}

// weight: (columns) of the RMSNorm before, or nullptr for none
template <int planes>
void pack_rows_bf16(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                    int64_t first, int64_t depth, uint16_t* packed, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    const float* from = x + row * stride;
    if (weight != nullptr) {
      rmsnorm_row(from, columns, weight, epsilon, scratch);
      from = scratch;
    }
    pack_row_bf16<planes>(from, columns, row, first, depth, packed);
  }
  for (int64_t row = rows; row % kTileRows; row++)
    for (int64_t c = 0; c < tiles_of(columns) * planes; c++) {
      const int64_t tile = row / kTileRows * tiles_of(depth) * planes + first / kTileInputs * planes + c;
      memset(packed + tile * kTile + row % kTileRows * kTileInputs, 0, kTileInputs * sizeof(uint16_t));
    }
}

void pack_bf16(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
               int64_t planes, void* packed) {
  with_planes(planes, [&](auto constant) {
    pack_rows_bf16<constant>(x, stride, rows, columns, nullptr, 0.0f, first, depth, static_cast<uint16_t*>(packed),
                             nullptr);
  });
}

void rmsnorm_pack_bf16(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight,
                       float epsilon, int64_t planes, void* packed, float* scratch) {
  with_planes(planes, [&](auto constant) {
    pack_rows_bf16<constant>(x, stride, rows, columns, weight, epsilon, 0, columns, static_cast<uint16_t*>(packed),
                             scratch);
  });
}

// Outputs output..output+16, inputs of tile `step`. Beyond the matrix there are zeros.
inline void pack_weight_tile(const kernels::StoredMatrix& matrix, int64_t output, int64_t step, uint16_t* tile) {
  const int64_t width = dtype_bytes(matrix.dtype), row_bytes = matrix.inputs * width, input = step * kTileInputs;
  const uint8_t* from = matrix.data + output * row_bytes + input * width;
  const int64_t inputs = matrix.inputs - input < kTileInputs ? matrix.inputs - input : kTileInputs;
  if (matrix.dtype == kernels::DType::kBF16 && output + kTileRows <= matrix.outputs && inputs == kTileInputs) {
    // The next tiles of these rows: too many rows for the processor to see that they go on.
    for (int64_t row = 0; row < kTileRows; row++) __builtin_prefetch(from + row * row_bytes + 256, 0, 3);
    transpose_pairs(from, row_bytes, tile);
    return;
  }
  uint16_t rows[kTile + kLanes] = {};
  for (int64_t row = 0; row < kTileRows && output + row < matrix.outputs; row++)
    for (int64_t k = 0; k < inputs; k += kLanes) {
      const uint8_t* at = from + row * row_bytes + k * width;
      const Floats some = inputs - k < kLanes ? load_part_as_f32(at, matrix.dtype, inputs - k)
                                              : load_as_f32(at, matrix.dtype);
      store_bf16(rows + row * kTileInputs + k, some);
    }
  transpose_pairs(reinterpret_cast<const uint8_t*>(rows), kTileInputs * sizeof(uint16_t), tile);
}

// Micropanels of B: columns first..first+columns, steps step..step+steps -> to (columns / 32, steps, 2, 16 pairs, 16, 2)
// pack_tile(matrix, output, step, tile): outputs output..output+16 and the inputs of one step
template <typename Matrix, typename PackTile>
inline void pack_weights_bf16(const Matrix& matrix, const PackTile& pack_tile, int64_t first, int64_t columns,
                              int64_t step, int64_t steps, uint16_t* to) {
  for (int64_t column = 0; column < columns; column += kTileRows) {
    uint16_t* tile = to + column / 32 * steps * 2 * kTile + column % 32 / kTileRows * kTile;
    for (int64_t k = 0; k < steps; k++, tile += 2 * kTile) pack_tile(matrix, first + column, step + k, tile);
  }
}

}  // namespace
