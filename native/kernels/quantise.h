// A stored weight matrix -> panels of 8-bit numbers, each group of inputs of an output by its own scale.
#pragma once

#include "kernels/rows.h"

namespace {

void quantise(const kernels::StoredMatrix& matrix, int64_t first_panel, int64_t last_panel, int64_t group,
              uint8_t* bytes, float* scales) {
  const int64_t groups = (matrix.inputs + group - 1) / group, width = stored_bytes(matrix.storage);
  float values[kLargestGroup + kLanes];
  int8_t whole[kLargestGroup + kLanes];
  for (int64_t panel = first_panel; panel < last_panel; panel++)
    for (int64_t n = 0; n < kernels::kPanelOutputs; n++) {
      const int64_t output = panel * kernels::kPanelOutputs + n;
      for (int64_t g = 0; g < groups; g++) {
        const int64_t left = matrix.inputs - g * group, count = output < matrix.outputs ? (left < group ? left : group) : 0;
        const uint8_t* from = matrix.data + (output * matrix.inputs + g * group) * width;
        for (int64_t k = 0; k < group; k += kLanes) {
          const int64_t some = count - k;
          store(values + k, some >= kLanes ? load_stored(from + k * width, matrix.storage)
                            : some > 0     ? load_stored_part(from + k * width, matrix.storage, some)
                                           : broadcast(0.0f));
        }
        const float most = largest_magnitude(values, group);
        const Floats inverse = broadcast(inverse_scale(most, 127.0f));
        scales[(panel * groups + g) * kernels::kPanelOutputs + n] = most / 127.0f;
        for (int64_t k = 0; k < group; k += kLanes)
          store_bytes(whole + k, to_integers(multiply(load(values + k), inverse)));
        uint8_t* to = bytes + (panel * groups + g) * group * kernels::kPanelOutputs + n * 4;
        for (int64_t k = 0; k < group; k++)
          to[k / 4 * 4 * kernels::kPanelOutputs + k % 4] = static_cast<uint8_t>(whole[k] ^ 0x80);
      }
    }
}

}  // namespace
