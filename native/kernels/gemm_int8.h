// The 8-bit product: integer sums within a group of inputs, then scaled and added in float32.
//
// Packed elements, with MR = 6 rows of A, NR = 64 outputs of B, and k the input. Four inputs of a row, or of an output, are
// next to one another, as instructions such as VPDPBUSD and SDOT multiply and add four bytes into one 32-bit sum:
//
//       micropanel of A, int8                          micropanel of B, uint8 (weight + 128)
//
//       row 0    row 1          row 5                  output 0  output 1         output 63
//      +--------+--------+-----+--------+              +--------+--------+-------+--------+
//      | 0 1 2 3| 0 1 2 3| ... | 0 1 2 3|   k =  0.. 3 | 0 1 2 3| 0 1 2 3|  ...  | 0 1 2 3|
//      +--------+--------+-----+--------+              +--------+--------+-------+--------+
//      | 4 5 6 7| 4 5 6 7| ... | 4 5 6 7|   k =  4.. 7 | 4 5 6 7| 4 5 6 7|  ...  | 4 5 6 7|
//      +--------+--------+-----+--------+              +--------+--------+-------+--------+
//         :         :              :                      :         :                :
//      +--------+--------+-----+--------+              +--------+--------+-------+--------+
//      |60 .. 63|60 .. 63| ... |60 .. 63|   k = 60..63 |60 .. 63|60 .. 63|  ...  |60 .. 63|   end of a group of 64,
//      +--------+--------+-----+--------+              +--------+--------+-------+--------+   the next group follows
//       scale, one a token and group                   scale, one an output and group
//
// With one plane a row of A is a token. With two planes rows 2t and 2t + 1 are the high and the low byte of token t, and
// the two sums of an output are added as 256 * high + low before they are scaled.
#pragma once

#include "kernels/int8_microkernel.h"
#include "kernels/kernels.h"

namespace {

void gemm_int8(const kernels::Int8Activations& packed, int64_t panels, int64_t planes, const kernels::Int8Matrix& matrix,
               int64_t first, int64_t columns, float* out, int64_t stride, void* scratch) {
  const int64_t group = matrix.group, groups = (matrix.inputs + group - 1) / group;
  const int64_t tokens = kInt8MR / planes;
  // Groups whose micropanel of B, 16 KiB, fits the first-level cache together with the activations.
  const int64_t together = group >= kernels::kInt8KC ? 1 : kernels::kInt8KC / group;
  for (int64_t column = 0; column < columns; column += kernels::kInt8NR) {
    const int64_t weight_panel = (first + column) / kernels::kInt8NR;
    for (int64_t g = 0; g < groups; g += together) {
      const int64_t here = groups - g < together ? groups - g : together;
      const uint8_t* weights = matrix.bytes + (weight_panel * groups + g) * group * kernels::kInt8NR;
      const float* weight_scales = matrix.scales + (weight_panel * groups + g) * kernels::kInt8NR;
      const PackedWeight* prepared = prepare_micropanel(weights, group * here, scratch);
      for (int64_t panel = 0; panel < panels; panel++) {
        const int64_t block = panel * groups + g;
        const int8_t* a = packed.bytes + block * group * kInt8MR;
        const float* scales = packed.scales + block * tokens;
        const int32_t* offsets = packed.offsets + block * kInt8MR;
        float* c = out + panel * tokens * stride + column;
        if (planes == 1)
          int8_microkernel<1>(a, scales, offsets, prepared, weight_scales, here, group, c, stride, g > 0);
        else
          int8_microkernel<2>(a, scales, offsets, prepared, weight_scales, here, group, c, stride, g > 0);
      }
    }
  }
}

}  // namespace
