// RMSNorm: x / sqrt(mean(x^2) + epsilon) * weight.
#pragma once

#include <cmath>
#include <cstdint>

namespace {

// 1 / sqrt(mean(x^2) + epsilon). x (columns)
inline float inverse_rms(const float* x, int64_t columns, float epsilon) {
  Floats squares = broadcast(0.0f);
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const Floats some = load(x + c);
    squares = multiply_add(some, some, squares);
  }
  float total = reduce_add(squares);
  for (; c < columns; c++) total += x[c] * x[c];
  return 1.0f / std::sqrt(total / static_cast<float>(columns) + epsilon);
}

// x, weight, out (columns)
inline void rmsnorm_row(const float* x, int64_t columns, const float* weight, float epsilon, float* out) {
  const float scale = inverse_rms(x, columns, epsilon);
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes)
    store(out + c, multiply(multiply(load(x + c), broadcast(scale)), load(weight + c)));
  for (; c < columns; c++) out[c] = x[c] * scale * weight[c];
}

void rmsnorm(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
             float* out) {
  for (int64_t row = 0; row < rows; row++) rmsnorm_row(x + row * stride, columns, weight, epsilon, out + row * columns);
}

}  // namespace
