// SwiGLU: silu(gate) * up, where silu(x) = x / (1 + exp(-x)).
#pragma once

#include "kernels/exponential.h"

namespace {

// What a row has beyond the matrix is zero and stays zero.
void swiglu(float* gate, const float* up, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; row++, gate += stride, up += stride)
    for (int64_t c = 0; c < columns; c += kLanes) {
      const Floats x = load(gate + c);
      const Floats exp_minus_x = exponential(subtract(broadcast(0.0f), x));
      store(gate + c, multiply(divide(x, add(broadcast(1.0f), exp_minus_x)), load(up + c)));
    }
}

}  // namespace
