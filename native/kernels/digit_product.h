// 8-bit product: sums of a group in whole numbers, then scaled and added in float32. dot_tile is each processor's own.
#pragma once

#include "kernels/table.h"

namespace {

void multiply_digits(const kernels::Digits& packed, int64_t tiles, int64_t digits, const kernels::PanelMatrix& matrix,
                     int64_t first, int64_t columns, float* out, int64_t stride, void* scratch) {
  const int64_t group = matrix.group, groups = (matrix.inputs + group - 1) / group;
  const int64_t tokens = kDigitRows / digits;
  // Groups whose panel (64 outputs) fits the first-level cache beside the activations: 16 KiB.
  const int64_t together = group >= 256 ? 1 : 256 / group;
  for (int64_t column = 0; column < columns; column += kernels::kPanelOutputs) {
    const int64_t panel = (first + column) / kernels::kPanelOutputs;
    for (int64_t g = 0; g < groups; g += together) {
      const int64_t here = groups - g < together ? groups - g : together;
      const uint8_t* weights = matrix.bytes + (panel * groups + g) * group * kernels::kPanelOutputs;
      const float* weight_scales = matrix.scales + (panel * groups + g) * kernels::kPanelOutputs;
      const void* prepared = prepare_panel(weights, group * here, scratch);
      for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t place = tile * groups + g;
        const int8_t* a = packed.bytes + place * group * kDigitRows;
        const float* scales = packed.scales + place * tokens;
        const int32_t* offsets = packed.offsets + place * kDigitRows;
        float* c = out + tile * tokens * stride + column;
        if (digits == 1)
          dot_tile<1>(a, scales, offsets, prepared, weight_scales, here, group, c, stride, g > 0);
        else
          dot_tile<2>(a, scales, offsets, prepared, weight_scales, here, group, c, stride, g > 0);
      }
    }
  }
}

}  // namespace
