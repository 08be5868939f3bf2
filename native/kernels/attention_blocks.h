// What the forms of attention share: causal attention of query blocks over their ancestors and their own segment, for the
// query heads that share one key/value head. The softmax is online, as in FlashAttention.
//
// Keys are taken in blocks of absolute positions (0..511, 512..1023, ...), and every sum adds in their order. So a token's
// result has the same bits wherever the tree is cut and whatever else is in the batch.
#pragma once

#include <limits>

#include "kernels/exponential.h"
#include "kernels/kernels.h"

namespace {

constexpr int64_t kBlockKeys = 512;
// Not a multiple of the cache's 4 KiB period: many rows of scores are read together.
constexpr int64_t kScoreStride = kBlockKeys + 16;
// Rows that are computed together, at most.
constexpr int64_t kMaxRows = 32;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The longest context of the query blocks, in tokens.
inline int64_t max_context(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges) {
  int64_t longest = 0;
  for (int64_t b = 0; b < count; b++) {
    int64_t context = query_blocks[b].stop - query_blocks[b].segment_start;
    for (int64_t r = query_blocks[b].first_range; r < query_blocks[b].last_range; r++) context += kv_ranges[r].tokens;
    longest = context > longest ? context : longest;
  }
  return longest;
}

// Gathers the keys and values that each query block sees, and calls attend(block, first_seen): its first query sees
// `first_seen` keys before its own. gathered.put(position, keys, values, count) takes (count, head_dim) of each.
// own_keys, own_values: of this head, (tokens, head_dim)
template <typename Gathered, typename Attend>
inline void attend_blocks(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges,
                          int64_t layer, int64_t head, int64_t head_dim, const float* own_keys,
                          const float* own_values, const Gathered& gathered, const Attend& attend) {
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
    attend(block, ancestors + block.start - block.segment_start);
  }
}

// The softmax of `rows` rows over the block of keys that begins at `key`; a row is one query head of one token. Scores become
// exp(score - max); those of keys that a row does not see become 0.
// scores (rows, kScoreStride), whole vectors; max, total (rows): of the blocks so far, brought up to date;
// sums (rows, value_stride): of the values of the blocks so far, rescaled
inline void softmax_rows(float* scores, int64_t rows, int64_t first_row, int64_t heads_per_kv, int64_t first_seen,
                         int64_t key, int64_t block_keys, float* max, float* total, float* sums,
                         int64_t value_stride) {
  const int64_t end = (block_keys + kLanes - 1) / kLanes * kLanes;
  // One step of all rows after the other: a row's own steps wait for one another.
  float before[kMaxRows + kLanes] = {}, rescale[kMaxRows + kLanes];
  for (int64_t r = 0; r < rows; r++) {
    float* row = scores + r * kScoreStride;
    const int64_t sees = first_seen + (first_row + r) / heads_per_kv + 1 - key;
    for (int64_t rest = sees < 0 ? 0 : sees; rest < end; rest++) row[rest] = kMinusInfinity;
    Floats highest = broadcast(max[r]);
    for (int64_t j = 0; j < end; j += kLanes) highest = maximum(highest, load(row + j));
    before[r] = max[r];
    max[r] = reduce_max(highest);
    before[r] -= max[r];
  }
  if (key > 0)
    for (int64_t r = 0; r < rows; r += kLanes) store(rescale + r, exponential(load(before + r)));
  for (int64_t r = 0; r < rows; r++) {
    float* row = scores + r * kScoreStride;
    Floats more = broadcast(0.0f);
    for (int64_t j = 0; j < end; j += kLanes) {
      const Floats weight = exponential(subtract(load(row + j), broadcast(max[r])));
      store(row + j, weight);
      more = add(more, weight);
    }
    if (key == 0) {
      total[r] = reduce_add(more);
      continue;
    }
    total[r] = total[r] * rescale[r] + reduce_add(more);
    for (int64_t e = 0; e < value_stride; e += kLanes) {
      float* to = sums + r * value_stride + e;
      store(to, multiply(load(to), broadcast(rescale[r])));
    }
  }
}

// Sums of values divided by the sums of their weights.
// out (query tokens, num_kv_heads, heads_per_kv, head_dim)
inline void write_rows(const float* sums, int64_t value_stride, const float* total, int64_t rows, int64_t first_row,
                       int64_t first_query, int64_t head, int64_t num_kv_heads, int64_t heads_per_kv,
                       int64_t head_dim, float* out) {
  for (int64_t r = 0; r < rows; r++) {
    const int64_t token = first_query + (first_row + r) / heads_per_kv, head_in_group = (first_row + r) % heads_per_kv;
    float* to = out + ((token * num_kv_heads + head) * heads_per_kv + head_in_group) * head_dim;
    int64_t e = 0;
    for (; e + kLanes <= head_dim; e += kLanes)
      store(to + e, divide(load(sums + r * value_stride + e), broadcast(total[r])));
    for (; e < head_dim; e++) to[e] = sums[r * value_stride + e] / total[r];
  }
}

}  // namespace
