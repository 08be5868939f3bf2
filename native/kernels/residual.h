// The sum of a residual connection.
#pragma once

#include <cstdint>

namespace {

void add_residual(float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++, x += x_stride, y += y_stride) {
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) store(x + c, add(load(x + c), load(y + c)));
    for (; c < columns; c++) x[c] += y[c];
  }
}

}  // namespace
