// QK-norm and rotary positions (RoPE): dimensions e and e + head_dim / 2 of a head rotate by their token's angle.
#pragma once

#include "kernels/rmsnorm.h"

namespace {

void rmsnorm_rope(const float* x, int64_t stride, int64_t rows, int64_t heads, int64_t head_dim, const float* weight,
                  float epsilon, float factor, const float* cosines, const float* sines, float* out, int64_t out_stride,
                  const int64_t* out_head_offsets) {
  const int64_t half = head_dim / 2;
  for (int64_t row = 0; row < rows; row++) {
    const float* cosine = cosines + row * half;
    const float* sine = sines + row * half;
    for (int64_t head = 0; head < heads; head++) {
      const float* from = x + row * stride + head * head_dim;
      float* to = out + row * out_stride + out_head_offsets[head];
      const float scale = inverse_rms(from, head_dim, epsilon);
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
