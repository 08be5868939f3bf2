// Work on rows of activations between the products: norms, rotary positions, gating, and packing for the next product.
#pragma once

#include <cmath>

#include "kernels/exponential.h"
#include "kernels/table.h"

namespace {

// What makes the root mean square of a row 1.
inline float inverse_root(const float* x, int64_t columns, float epsilon) {
  Floats squares = broadcast(0.0f);
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const Floats some = load(x + c);
    squares = multiply_add(some, some, squares);
  }
  float total = sum(squares);
  for (; c < columns; c++) total += x[c] * x[c];
  return 1.0f / std::sqrt(total / static_cast<float>(columns) + epsilon);
}

inline void norm_row(const float* x, int64_t columns, const float* weight, float epsilon, float* out) {
  const float scale = inverse_root(x, columns, epsilon);
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes)
    store(out + c, multiply(multiply(load(x + c), broadcast(scale)), load(weight + c)));
  for (; c < columns; c++) out[c] = x[c] * scale * weight[c];
}

void rms_norm(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
              float* out) {
  for (int64_t row = 0; row < rows; row++) norm_row(x + row * stride, columns, weight, epsilon, out + row * columns);
}

inline void pack_row(const float* x, int64_t columns, int64_t row, int64_t first, int64_t depth, float* packed) {
  float* to = packed + (row / kFloatRows * depth + first) * kFloatRows + row % kFloatRows;
  for (int64_t c = 0; c < columns; c++) to[c * kFloatRows] = x[c];
}

inline void pack_zeros(int64_t rows, int64_t columns, int64_t first, int64_t depth, float* packed) {
  for (int64_t row = rows; row % kFloatRows; row++) {
    float* to = packed + (row / kFloatRows * depth + first) * kFloatRows + row % kFloatRows;
    for (int64_t c = 0; c < columns; c++) to[c * kFloatRows] = 0.0f;
  }
}

void pack(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
          float* packed) {
  for (int64_t row = 0; row < rows; row++) pack_row(x + row * stride, columns, row, first, depth, packed);
  pack_zeros(rows, columns, first, depth, packed);
}

void norm_pack(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
               float* packed, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    norm_row(x + row * stride, columns, weight, epsilon, scratch);
    pack_row(scratch, columns, row, 0, columns, packed);
  }
  pack_zeros(rows, columns, 0, columns, packed);
}

// `count` values, zeros from there to whole vectors.
inline Floats load_part(const float* x, int64_t count) {
  float padded[kLanes] = {};
  memcpy(padded, x, count * sizeof(float));
  return load(padded);
}
inline Floats load_up_to(const float* x, int64_t count) { return count >= kLanes ? load(x) : load_part(x, count); }

// NaN if there is one. Bits of positive floats are in the order of the floats, and NaN's are above them all.
inline float largest_magnitude(const float* x, int64_t count) {
  Integers most = broadcast(int32_t{0});
  for (int64_t c = 0; c < count; c += kLanes) most = larger(most, bits_of(magnitude(load_up_to(x + c, count - c))));
  const int32_t bits = largest(most);
  float magnitude;
  memcpy(&magnitude, &bits, sizeof(magnitude));
  return magnitude;
}

// What turns values up to `most` into whole numbers up to `steps`. 0 where it would be infinite, and where `most` is infinite
// or NaN: all digits are 0 then, and 0 times such a scale gives NaN.
inline float inverse_scale(float most, float steps) { return most > 1e-30f ? steps / most : 0.0f; }

constexpr int64_t kLargestGroup = 512;

// One group of a row as digits; `count` of its values exist. Bytes lie 4 * kDigitRows apart, four at a time.
template <int digits>
inline void round_group(const float* x, int64_t count, int64_t group, int8_t* bytes, float* scale, int32_t* offsets) {
  constexpr float kSteps = digits == 1 ? 127.0f : 127.0f * 256.0f;
  const float most = count > 0 ? largest_magnitude(x, count) : 0.0f;
  *scale = most / kSteps;
  const float steps = inverse_scale(most, kSteps);
  const Floats inverse = broadcast(steps);
  if (steps == 0.0f) count = 0;
  int8_t first[kLargestGroup + kLanes], second[kLargestGroup + kLanes];
  Integers first_sum = broadcast(int32_t{0}), second_sum = broadcast(int32_t{0});
  for (int64_t c = 0; c < group; c += kLanes) {
    const Floats some = c < count ? load_up_to(x + c, count - c) : broadcast(0.0f);
    const Integers whole = to_integers(multiply(some, inverse));
    if (digits == 1) {
      first_sum = add(first_sum, whole);
      store_bytes(first + c, whole);
    } else {
      const Integers high = shift_right<8>(add(whole, broadcast(int32_t{128})));
      const Integers low = subtract(whole, shift_left<8>(high));
      first_sum = add(first_sum, high);
      second_sum = add(second_sum, low);
      store_bytes(first + c, high);
      store_bytes(second + c, low);
    }
  }
  offsets[0] = -128 * sum(first_sum);
  if (digits == 2) offsets[1] = -128 * sum(second_sum);
  for (int64_t c = 0; c < group; c += 4) {
    memcpy(bytes + c * kDigitRows, first + c, 4);
    if (digits == 2) memcpy(bytes + c * kDigitRows + 4, second + c, 4);
  }
}

// One row; none at all, nullptr, counts as zeros.
template <int digits>
inline void round_row(const float* x, int64_t columns, int64_t row, int64_t first, int64_t group, int64_t groups,
                      const kernels::Digits& out) {
  constexpr int64_t tokens = kDigitRows / digits;
  const int64_t tile = row / tokens, place = row % tokens;
  for (int64_t c = 0; c < columns; c += group) {
    const int64_t block = tile * groups + (first + c) / group;
    const int64_t count = x == nullptr ? 0 : columns - c < group ? columns - c : group;
    round_group<digits>(count > 0 ? x + c : nullptr, count, group, out.bytes + block * group * kDigitRows + place * digits * 4,
                        out.scales + block * tokens + place, out.offsets + block * kDigitRows + place * digits);
  }
}

template <int digits>
void round_rows(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                int64_t first, int64_t group, int64_t groups, const kernels::Digits& out, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    const float* from = x + row * stride;
    if (weight != nullptr) {
      norm_row(from, columns, weight, epsilon, scratch);
      from = scratch;
    }
    round_row<digits>(from, columns, row, first, group, groups, out);
  }
  for (int64_t row = rows; row % (kDigitRows / digits); row++)
    round_row<digits>(nullptr, columns, row, first, group, groups, out);
}

void round(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t group,
           int64_t groups, int64_t digits, const kernels::Digits& out) {
  (digits == 1 ? round_rows<1> : round_rows<2>)(x, stride, rows, columns, nullptr, 0.0f, first, group, groups, out,
                                                nullptr);
}

void norm_round(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                int64_t group, int64_t groups, int64_t digits, const kernels::Digits& out, float* scratch) {
  (digits == 1 ? round_rows<1> : round_rows<2>)(x, stride, rows, columns, weight, epsilon, 0, group, groups, out,
                                                scratch);
}

void add_rows(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++, to += to_stride, from += from_stride) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) store(to + c, add(load(to + c), load(from + c)));
    for (; c < columns; c++) to[c] += from[c];
  }
}

// `columns` are whole vectors: what lies beyond the matrix is zero and stays so.
void gated(float* gate, const float* up, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++, gate += stride, up += stride)
    for (int64_t c = 0; c < columns; c += kLanes) {
      const Floats x = load(gate + c);
      const Floats falling = exponential(subtract(broadcast(0.0f), x));
      store(gate + c, multiply(divide(x, add(broadcast(1.0f), falling)), load(up + c)));
    }
}

void norm_rotate(const float* x, int64_t stride, int64_t rows, int64_t heads, int64_t head_dim, const float* weight,
                 float epsilon, float factor, const float* cosines, const float* sines, float* out,
                 int64_t out_row_stride, const int64_t* out_head_offsets) {
  const int64_t half = head_dim / 2;
  for (int64_t row = 0; row < rows; row++) {
    const float* cosine = cosines + row * half;
    const float* sine = sines + row * half;
    for (int64_t head = 0; head < heads; head++) {
      const float* from = x + row * stride + head * head_dim;
      float* to = out + row * out_row_stride + out_head_offsets[head];
      const float scale = inverse_root(from, head_dim, epsilon);
      int64_t e = 0;
      for (; e + kLanes <= half; e += kLanes) {
        const Floats first = multiply(multiply(load(from + e), broadcast(scale)), load(weight + e));
        const Floats second = multiply(multiply(load(from + half + e), broadcast(scale)), load(weight + half + e));
        const Floats c = load(cosine + e), s = load(sine + e), f = broadcast(factor);
        store(to + e, multiply(subtract(multiply(first, c), multiply(second, s)), f));
        store(to + half + e, multiply(multiply_add(second, c, multiply(first, s)), f));
      }
      for (; e < half; e++) {
        const float first = from[e] * scale * weight[e], second = from[half + e] * scale * weight[half + e];
        to[e] = (first * cosine[e] - second * sine[e]) * factor;
        to[half + e] = (second * cosine[e] + first * sine[e]) * factor;
      }
    }
  }
}

}  // namespace
