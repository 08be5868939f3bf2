// Attention in float32: scores and sums of values by the float32 microkernel.
#pragma once

#include "kernels/attention_blocks.h"
#include "kernels/gemm_f32.h"

namespace {

inline int64_t round_up_to_nr(int64_t count) { return (count + kF32NR - 1) / kF32NR * kF32NR; }

int64_t f32_attention_scratch(int64_t max_seqlen_k, int64_t head_dim) {
  return round_up_to_nr(max_seqlen_k) * head_dim + max_seqlen_k * round_up_to_nr(head_dim) +
         kF32MR * (kScoreStride + round_up_to_nr(head_dim));
}

// The microkernel of `rows` rows, as many as there are: the compiler makes a loop for each number.
template <bool accumulate, int max_rows = kF32MR>
inline void microkernel_of(int64_t rows, const float* a, int64_t row_stride, const float* b, int64_t b_stride,
                           int64_t depth, float* c, int64_t c_stride) {
  if (rows == max_rows)
    f32_microkernel<max_rows, false, accumulate>(a, row_stride, b, b_stride, depth, c, c_stride);
  else if constexpr (max_rows > 1)
    microkernel_of<accumulate, max_rows - 1>(rows, a, row_stride, b, b_stride, depth, c, c_stride);
}

// Keys and values that one query block sees, gathered from the kv ranges.
//   key_panels (positions / NR, head_dim, NR), the micropanels of K^T; value_rows (positions, value_stride)
struct GatheredKv {
  float* key_panels;
  float* value_rows;
  int64_t head_dim;
  int64_t value_stride;

  // keys, values (count, head_dim)
  void put(int64_t position, const float* keys, const float* values, int64_t count) const {
    int64_t t = 0;
    while (t < count) {
      const int64_t at = position + t;
      float* panel = key_panels + at / kF32NR * kF32NR * head_dim + at % kF32NR;
      if (at % kLanes == 0 && count - t >= kLanes && head_dim % kLanes == 0) {
        for (int64_t e = 0; e < head_dim; e += kLanes) {
          Floats block[kLanes];
#pragma GCC unroll 16
          for (int r = 0; r < kLanes; r++) block[r] = load(keys + (t + r) * head_dim + e);
          transpose(block);
#pragma GCC unroll 16
          for (int r = 0; r < kLanes; r++) store(panel + (e + r) * kF32NR, block[r]);
        }
        t += kLanes;
      } else {
        for (int64_t e = 0; e < head_dim; e++) panel[e * kF32NR] = keys[t * head_dim + e];
        t++;
      }
    }
    for (t = 0; t < count; t++) {
      float* to = value_rows + (position + t) * value_stride;
      memcpy(to, values + t * head_dim, head_dim * sizeof(float));
      for (int64_t e = head_dim; e < value_stride; e++) to[e] = 0.0f;
    }
  }
};

void f32_attention(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges,
                   int64_t layer, int64_t head, int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim,
                   int64_t query_tokens, int64_t tokens, const float* queries, const float* keys, const float* values,
                   float* out, float* scratch) {
  const float* own_queries = queries + head * query_tokens * heads_per_kv * head_dim;
  const int64_t value_stride = round_up_to_nr(head_dim);
  float* scores = scratch;
  float* sums = scores + kF32MR * kScoreStride;
  float* key_panels = sums + kF32MR * value_stride;
  const int64_t positions = round_up_to_nr(max_context(query_blocks, count, kv_ranges));
  const GatheredKv gathered{key_panels, key_panels + positions * head_dim, head_dim, value_stride};
  const auto attend = [&](const kernels::QueryBlock& block, int64_t first_seen) {
    const int64_t rows = (block.stop - block.start) * heads_per_kv;
    for (int64_t row = 0; row < rows; row += kF32MR) {
      const int64_t here = rows - row < kF32MR ? rows - row : kF32MR;
      const float* query = own_queries + (block.query * heads_per_kv + row) * head_dim;
      const int64_t end = first_seen + (row + here - 1) / heads_per_kv + 1;
      float max[kF32MR], total[kF32MR];
      for (int64_t r = 0; r < here; r++) max[r] = kMinusInfinity, total[r] = 0.0f;
      for (int64_t key = 0; key < end; key += kBlockKeys) {
        const int64_t block_keys = end - key < kBlockKeys ? end - key : kBlockKeys;
        for (int64_t j = 0; j < block_keys; j += kF32NR)
          microkernel_of<false>(here, query, head_dim, gathered.key_panels + (key + j) * head_dim, kF32NR, head_dim,
                                scores + j, kScoreStride);
        softmax_rows(scores, here, row, heads_per_kv, first_seen, key, block_keys, max, total, sums, value_stride);
        for (int64_t e = 0; e < value_stride; e += kF32NR) {
          const float* value = gathered.value_rows + key * value_stride + e;
          if (key == 0)
            microkernel_of<false>(here, scores, kScoreStride, value, value_stride, block_keys, sums + e, value_stride);
          else
            microkernel_of<true>(here, scores, kScoreStride, value, value_stride, block_keys, sums + e, value_stride);
        }
      }
      write_rows(sums, value_stride, total, here, row, block.query, head, num_kv_heads, heads_per_kv, head_dim, out);
    }
  };
  attend_blocks(query_blocks, count, kv_ranges, layer, head, head_dim, keys + head * tokens * head_dim,
                values + head * tokens * head_dim, gathered, attend);
}

}  // namespace
