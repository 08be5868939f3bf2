// Rounding to 8 bits: activations to micropanels of A at every product, weights to micropanels of B once.
// Each group of a row has a scale of its own: its largest magnitude over the largest step.
#pragma once

#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"
#include "kernels/rmsnorm.h"

namespace {

constexpr int64_t kLargestGroup = 512;

// `count` values, zeros from there to whole vectors.
inline Floats load_part(const float* x, int64_t count) {
  float padded[kLanes] = {};
  memcpy(padded, x, count * sizeof(float));
  return load(padded);
}
inline Floats load_up_to(const float* x, int64_t count) { return count >= kLanes ? load(x) : load_part(x, count); }

// The largest magnitude; NaN if there is one. Bits of positive floats are in the order of the floats, and NaN's are above
// them all. x (count)
inline float amax(const float* x, int64_t count) {
  Integers largest = broadcast(int32_t{0});
  for (int64_t c = 0; c < count; c += kLanes)
    largest = maximum(largest, bits_of(absolute(load_up_to(x + c, count - c))));
  const int32_t bits = reduce_max(largest);
  float magnitude;
  memcpy(&magnitude, &bits, sizeof(magnitude));
  return magnitude;
}

// What turns values up to `magnitude` into integers up to `steps`. 0 where it would be infinite, and where `magnitude` is
// infinite or NaN: all integers are 0 then, and 0 times such a scale gives NaN.
inline float inverse_scale(float magnitude, float steps) { return magnitude > 1e-30f ? steps / magnitude : 0.0f; }

// One group of a token in 8 bits. x (count); bytes (group / 4, MR, 4) from the token's first row on;
// scale (1); offsets (planes)
template <int planes>
inline void quantize_group(const float* x, int64_t count, int64_t group, int8_t* bytes, float* scale,
                           int32_t* offsets) {
  constexpr float kSteps = planes == 1 ? 127.0f : 127.0f * 256.0f;
  const float magnitude = count > 0 ? amax(x, count) : 0.0f;
  *scale = magnitude / kSteps;
  const float steps = inverse_scale(magnitude, kSteps);
  const Floats inverse = broadcast(steps);
  if (steps == 0.0f) count = 0;
  int8_t first[kLargestGroup + kLanes], second[kLargestGroup + kLanes];
  Integers first_sum = broadcast(int32_t{0}), second_sum = broadcast(int32_t{0});
  for (int64_t c = 0; c < group; c += kLanes) {
    const Floats some = c < count ? load_up_to(x + c, count - c) : broadcast(0.0f);
    const Integers rounded = to_integers(multiply(some, inverse));
    if (planes == 1) {
      first_sum = add(first_sum, rounded);
      store_bytes(first + c, rounded);
    } else {
      const Integers high = shift_right<8>(add(rounded, broadcast(int32_t{128})));
      const Integers low = subtract(rounded, shift_left<8>(high));
      first_sum = add(first_sum, high);
      second_sum = add(second_sum, low);
      store_bytes(first + c, high);
      store_bytes(second + c, low);
    }
  }
  offsets[0] = -128 * reduce_add(first_sum);
  if (planes == 2) offsets[1] = -128 * reduce_add(second_sum);
  for (int64_t c = 0; c < group; c += 4) {
    memcpy(bytes + c * kInt8MR, first + c, 4);
    if (planes == 2) memcpy(bytes + c * kInt8MR + 4, second + c, 4);
  }
}

// Token `row` of `out`, from column `first` on. x (columns), or nullptr for zeros
template <int planes>
inline void pack_row_int8(const float* x, int64_t columns, int64_t row, int64_t first, int64_t group, int64_t groups,
                          const kernels::Int8Activations& out) {
  constexpr int64_t tokens = kInt8MR / planes;
  const int64_t panel = row / tokens, in_panel = row % tokens;
  for (int64_t c = 0; c < columns; c += group) {
    const int64_t block = panel * groups + (first + c) / group;
    const int64_t count = x == nullptr ? 0 : columns - c < group ? columns - c : group;
    quantize_group<planes>(count > 0 ? x + c : nullptr, count, group,
                           out.bytes + block * group * kInt8MR + in_panel * planes * 4,
                           out.scales + block * tokens + in_panel, out.offsets + block * kInt8MR + in_panel * planes);
  }
}

// weight: (columns) of the RMSNorm before, or nullptr for none
template <int planes>
void pack_rows_int8(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                    int64_t first, int64_t group, int64_t groups, const kernels::Int8Activations& out, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    const float* from = x + row * stride;
    if (weight != nullptr) {
      rmsnorm_row(from, columns, weight, epsilon, scratch);
      from = scratch;
    }
    pack_row_int8<planes>(from, columns, row, first, group, groups, out);
  }
  for (int64_t row = rows; row % (kInt8MR / planes); row++)
    pack_row_int8<planes>(nullptr, columns, row, first, group, groups, out);
}

void pack_int8(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t group,
               int64_t groups, int64_t planes, const kernels::Int8Activations& out) {
  (planes == 1 ? pack_rows_int8<1> : pack_rows_int8<2>)(x, stride, rows, columns, nullptr, 0.0f, first, group, groups,
                                                        out, nullptr);
}

void rmsnorm_pack_int8(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight,
                       float epsilon, int64_t group, int64_t groups, int64_t planes,
                       const kernels::Int8Activations& out, float* scratch) {
  (planes == 1 ? pack_rows_int8<1> : pack_rows_int8<2>)(x, stride, rows, columns, weight, epsilon, 0, group, groups,
                                                        out, scratch);
}

void quantize_int8(const kernels::StoredMatrix& matrix, int64_t first_panel, int64_t last_panel, int64_t group,
                   uint8_t* bytes, float* scales) {
  const int64_t groups = (matrix.inputs + group - 1) / group, width = dtype_bytes(matrix.dtype);
  float values[kLargestGroup + kLanes];
  int8_t rounded[kLargestGroup + kLanes];
  for (int64_t panel = first_panel; panel < last_panel; panel++)
    for (int64_t n = 0; n < kernels::kInt8NR; n++) {
      const int64_t output = panel * kernels::kInt8NR + n;
      for (int64_t g = 0; g < groups; g++) {
        const int64_t left = matrix.inputs - g * group, count = output < matrix.outputs ? (left < group ? left : group) : 0;
        const uint8_t* from = matrix.data + (output * matrix.inputs + g * group) * width;
        for (int64_t k = 0; k < group; k += kLanes) {
          const int64_t some = count - k;
          store(values + k, some >= kLanes ? load_as_f32(from + k * width, matrix.dtype)
                            : some > 0     ? load_part_as_f32(from + k * width, matrix.dtype, some)
                                           : broadcast(0.0f));
        }
        const float magnitude = amax(values, group);
        const Floats inverse = broadcast(inverse_scale(magnitude, 127.0f));
        scales[(panel * groups + g) * kernels::kInt8NR + n] = magnitude / 127.0f;
        for (int64_t k = 0; k < group; k += kLanes)
          store_bytes(rounded + k, to_integers(multiply(load(values + k), inverse)));
        uint8_t* to = bytes + (panel * groups + g) * group * kernels::kInt8NR + n * 4;
        for (int64_t k = 0; k < group; k++)
          to[k / 4 * 4 * kernels::kInt8NR + k % 4] = static_cast<uint8_t>(rounded[k] ^ 0x80);
      }
    }
}

}  // namespace
