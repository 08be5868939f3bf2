// The bfloat16 product where a processor has no instruction for it: numbers are rounded to bfloat16 and multiplied in float32.
#pragma once

#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"
#include "kernels/pack.h"
#include "kernels/rmsnorm.h"
#include "kernels/without_tiles.h"

namespace {

constexpr int64_t kBf16MR = kF32MR;
constexpr int64_t kBf16NR = kF32NR;

int64_t bf16_panel_bytes(int64_t inputs, int64_t) { return kF32MR * inputs * sizeof(float); }
int64_t gemm_bf16_scratch(int64_t, int64_t) { return kernels::kF32KC * kF32NR * sizeof(float); }

// To nearest even; NaN stays NaN. x, to (count)
inline void round_to_bf16(const float* x, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof(bits));
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    bits = (bits & 0x7fffffff) > 0x7f800000 ? bits : rounded;
    memcpy(to + i, &bits, sizeof(bits));
  }
}

void pack_bf16(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth, int64_t,
               void* packed) {
  constexpr int64_t kTogether = 256;
  float rounded[kTogether];
  for (int64_t row = 0; row < rows; row++)
    for (int64_t c = 0; c < columns; c += kTogether) {
      const int64_t here = columns - c < kTogether ? columns - c : kTogether;
      round_to_bf16(x + row * stride + c, here, rounded);
      pack_row_f32(rounded, here, row, first + c, depth, static_cast<float*>(packed));
    }
  pack_zeros_f32(rows, columns, first, depth, static_cast<float*>(packed));
}

void rmsnorm_pack_bf16(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight,
                       float epsilon, int64_t, void* packed, float* scratch) {
  for (int64_t row = 0; row < rows; row++) {
    rmsnorm_row(x + row * stride, columns, weight, epsilon, scratch);
    round_to_bf16(scratch, columns, scratch);
    pack_row_f32(scratch, columns, row, 0, columns, static_cast<float*>(packed));
  }
  pack_zeros_f32(rows, columns, 0, columns, static_cast<float*>(packed));
}

int64_t bf16_sum_panels(int64_t, int64_t panels) { return panels; }

void gemm_bf16(const void* packed, int64_t panels, int64_t, const kernels::StoredMatrix* const* matrices,
               int64_t count, int64_t first, int64_t columns, const kernels::RowsDone& done, float* sums,
               void* scratch) {
  for (int64_t i = 0; i < count; i++) {
    const auto round_weights = [&](float* weights, int64_t number) {
      if (matrices[i]->dtype != kernels::DType::kBF16) round_to_bf16(weights, number, weights);
    };
    gemm_f32_with(static_cast<const float*>(packed), panels, *matrices[i], first, columns, sums + i * columns,
                  count * columns, static_cast<float*>(scratch), round_weights);
  }
  done.call(done.context, 0, panels, sums);
}

}  // namespace
