// Scores of stored vectors: integer dot products of rows of 8 bits with a query of 16 bits, times the rows' scales.
//
// The integers are exact in any order, so compilers may vectorise the loop as each variant's processor likes it best.
#pragma once

#include "kernels/kernels.h"

namespace {

// row, query (columns)
inline int32_t dot_int8(const int8_t* row, const int16_t* query, int64_t columns) {
  int32_t sum = 0;
  for (int64_t c = 0; c < columns; c++) sum += static_cast<int16_t>(row[c]) * query[c];
  return sum;
}

void scan_int8(const kernels::Int8Rows& rows, const int64_t* numbers, int64_t count, const int16_t* query,
               float* scores) {
  for (int64_t i = 0; i < count; i++) {
    const uint8_t* row = rows.data + numbers[i] * rows.stride;
    float scale;
    memcpy(&scale, row, sizeof(scale));
    const int32_t sum = dot_int8(reinterpret_cast<const int8_t*>(row + sizeof(scale)), query, rows.columns);
    scores[i] = static_cast<float>(sum) * scale;
  }
}

}  // namespace
