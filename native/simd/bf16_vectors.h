// The bfloat16 microkernel on vectors, of the variant's own
//   void eight_tokens(a, b, steps, c, stride, accumulate)
//     C = A B or, with `accumulate`, C += A B; a (steps, 16, 32), from a token on; b (steps, 2, 512), as packed;
//     c (8, 32), rows `stride` apart
#pragma once

#include <cstdint>

namespace {

// Vectors need no registers of their own.
struct Bf16Registers {
  Bf16Registers() {}
};

template <int panels, int planes, int b_planes>
inline void bf16_microkernel(const uint16_t* a, int64_t panel_stride, const uint16_t* b, int64_t steps, float* c,
                             int64_t stride, bool accumulate, int64_t, int64_t) {
  static_assert(planes == 1 && b_planes == 1, "float32 stays with FMA");
  // Steps whose weights, 16 KiB, stay in the first-level cache for all tokens.
  constexpr int64_t kTogether = 8;
  for (int64_t step = 0; step < steps; step += kTogether) {
    const int64_t here = steps - step < kTogether ? steps - step : kTogether;
    for (int64_t token = 0; token < panels * 16; token += 8)
      eight_tokens(a + token / 16 * panel_stride + step * 512 + token % 16 * 32, b + step * 1024, here,
                   c + token * stride, stride, accumulate || step > 0);
  }
}

}  // namespace
