// Causal attention of query blocks over their ancestors and their own segment, for the query heads that share one
// key/value head. The softmax is online, as in FlashAttention.
//
// Keys are taken in blocks of absolute positions (0..511, 512..1023, ...), and every sum adds in their order. So a token's
// result has the same bits wherever the tree is cut and whatever else is in the batch.
#pragma once

#include <limits>

#include "kernels/exponential.h"
#include "kernels/gemm_f32.h"
#include "kernels/kernels.h"

namespace {

constexpr int64_t kBlockKeys = 512;
// Not a multiple of the cache's 4 KiB period: twelve rows of scores are read together.
constexpr int64_t kScoreStride = kBlockKeys + 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

inline int64_t round_up_to_nr(int64_t count) { return (count + kF32NR - 1) / kF32NR * kF32NR; }

int64_t attention_scratch(int64_t max_seqlen_k, int64_t head_dim) {
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

// One block of the online softmax: scores of one query become exp(score - max), in place; returns their sum.
// The query sees `seen` of the `count` keys, the others get 0. `max` is that of the blocks so far and is brought up to date;
// `rescale` is what the sums of the blocks so far are to be multiplied by. scores (count), whole vectors
inline float softmax_block(float* scores, int64_t seen, int64_t count, float* max, float* rescale) {
  Floats highest = broadcast(*max);
  int64_t j = 0;
  for (; j + kLanes <= seen; j += kLanes) highest = maximum(highest, load(scores + j));
  const int64_t end = (count + kLanes - 1) / kLanes * kLanes;
  for (int64_t rest = seen; rest < end; rest++) scores[rest] = kMinusInfinity;
  for (; j < end; j += kLanes) highest = maximum(highest, load(scores + j));
  const float before = *max;
  *max = reduce_max(highest);
  float factor[kLanes];
  store(factor, exponential(broadcast(before - *max)));
  *rescale = factor[0];
  Floats total = broadcast(0.0f);
  for (j = 0; j < end; j += kLanes) {
    const Floats weight = exponential(subtract(load(scores + j), broadcast(*max)));
    store(scores + j, weight);
    total = add(total, weight);
  }
  return reduce_add(total);
}

void attention(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges, int64_t layer,
               int64_t head, int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim, int64_t query_tokens,
               int64_t tokens, const float* queries, const float* keys, const float* values, float* out,
               float* scratch) {
  const float* own_queries = queries + head * query_tokens * heads_per_kv * head_dim;
  const float* own_keys = keys + head * tokens * head_dim;
  const float* own_values = values + head * tokens * head_dim;
  const int64_t value_stride = round_up_to_nr(head_dim);
  int64_t max_seqlen_k = 0;
  for (int64_t b = 0; b < count; b++) {
    int64_t seqlen_k = query_blocks[b].stop - query_blocks[b].segment_start;
    for (int64_t r = query_blocks[b].first_range; r < query_blocks[b].last_range; r++) seqlen_k += kv_ranges[r].tokens;
    max_seqlen_k = seqlen_k > max_seqlen_k ? seqlen_k : max_seqlen_k;
  }
  float* scores = scratch;
  float* sums = scores + kF32MR * kScoreStride;
  float* key_panels = sums + kF32MR * value_stride;
  const GatheredKv gathered{key_panels, key_panels + round_up_to_nr(max_seqlen_k) * head_dim, head_dim, value_stride};
  // What is gathered stays for the next block: its ranges where they are the same, its segment where it goes on.
  int64_t ancestors = 0, held_start = -1, held_stop = -1, held_first = -1, held_last = -1;
  for (int64_t b = 0; b < count; b++) {
    const kernels::QueryBlock& block = query_blocks[b];
    if (b == 0 || block.first_range != held_first || block.last_range != held_last) {
      ancestors = 0;
      for (int64_t r = block.first_range; r < block.last_range; r++) {
        const kernels::KvRange& range = kv_ranges[r];
        const int64_t offset = layer * range.layer_stride + head * range.head_stride;
        gathered.put(ancestors, range.keys + offset, range.values + offset, range.tokens);
        ancestors += range.tokens;
      }
      held_start = -1;
    }
    const bool goes_on = block.segment_start == held_start && block.stop >= held_stop;
    const int64_t from = goes_on ? held_stop : block.segment_start;
    gathered.put(ancestors + from - block.segment_start, own_keys + from * head_dim, own_values + from * head_dim,
                 block.stop - from);
    held_first = block.first_range, held_last = block.last_range;
    held_start = block.segment_start, held_stop = block.stop;

    // A row is one query head of one token.
    const int64_t rows = (block.stop - block.start) * heads_per_kv;
    const int64_t first_seen = ancestors + block.start - block.segment_start;
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
        for (int64_t r = 0; r < here; r++) {
          const int64_t sees = first_seen + (row + r) / heads_per_kv + 1 - key;
          const int64_t seen = sees < 0 ? 0 : sees < block_keys ? sees : block_keys;
          float rescale;
          const float more = softmax_block(scores + r * kScoreStride, seen, block_keys, max + r, &rescale);
          total[r] = total[r] * rescale + more;
          if (key > 0)
            for (int64_t e = 0; e < value_stride; e += kLanes) {
              float* to = sums + r * value_stride + e;
              store(to, multiply(load(to), broadcast(rescale)));
            }
        }
        for (int64_t e = 0; e < value_stride; e += kF32NR) {
          const float* value = gathered.value_rows + key * value_stride + e;
          if (key == 0)
            microkernel_of<false>(here, scores, kScoreStride, value, value_stride, block_keys, sums + e, value_stride);
          else
            microkernel_of<true>(here, scores, kScoreStride, value, value_stride, block_keys, sums + e, value_stride);
        }
      }
      for (int64_t r = 0; r < here; r++) {
        const int64_t token = block.query + (row + r) / heads_per_kv, head_in_group = (row + r) % heads_per_kv;
        float* to = out + ((token * num_kv_heads + head) * heads_per_kv + head_in_group) * head_dim;
        int64_t e = 0;
        for (; e + kLanes <= head_dim; e += kLanes)
          store(to + e, divide(load(sums + r * value_stride + e), broadcast(total[r])));
        for (; e < head_dim; e++) to[e] = sums[r * value_stride + e] / total[r];
      }
    }
  }
}

}  // namespace
