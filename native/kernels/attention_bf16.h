// Attention by the bfloat16 microkernel: queries, keys, weights and values in planes of bfloat16, the softmax in float32.
//
// With three planes a product has the six terms that float32 would keep: those of planes i and j with i + j < 3.
#pragma once

#include "kernels/attention_blocks.h"
#include "kernels/attention_f32.h"
#include "kernels/gemm_bf16.h"

namespace {

// Rows that are computed together: a row is one query head of one token.
constexpr int64_t kAttentionRows = 2 * kBf16MR;

// Keys and values that one query block sees, as micropanels of B.
//   keys (positions / 32, head_dim / 32, planes, 2, 16 pairs of dimensions, 16 keys, 2)
//   values (head_dim / 32, positions / 32, planes, 2, 16 pairs of keys, 16 dimensions, 2)
template <int planes>
struct KvTiles {
  uint16_t* keys;
  uint16_t* values;
  int64_t head_dim;
  int64_t capacity;  // in steps of 32 positions

  static constexpr int64_t kStep = planes * 2 * kTile;
  int64_t dim_steps() const { return tiles_of(head_dim); }

  void put_keys(int64_t position, const float* from, int64_t count) const {
    for (int64_t t = 0; t < count;) {
      const int64_t at = position + t, rows = at % 16 == 0 && count - t >= 16 ? 16 : 1;
      for (int64_t step = 0; step < dim_steps(); step++) {
        uint16_t* tile = keys + (at / 32 * dim_steps() + step) * kStep + at % 32 / 16 * kTile;
        uint16_t split_rows[planes * kTile];
        for (int64_t r = 0; r < rows; r++)
          split_step<planes>(from + (t + r) * head_dim, head_dim, step, split_rows + r * kTileInputs, kTile);
        for (int64_t plane = 0; plane < planes; plane++, tile += 2 * kTile) {
          const uint16_t* own = split_rows + plane * kTile;
          if (rows == 16)
            transpose_pairs(reinterpret_cast<const uint8_t*>(own), kTileInputs * sizeof(uint16_t), tile);
          else
            for (int64_t pair = 0; pair < 16; pair++) memcpy(tile + (pair * 16 + at % 16) * 2, own + pair * 2, 4);
        }
      }
      t += rows;
    }
  }

  // Each pair of keys is written whole; a key that has no other is paired with zeros, and so are those up to the next 32,
  // as a weight of 0 must not meet what is no number.
  void put_values(int64_t position, const float* from, int64_t count) const {
    const int64_t end = (position + count + 31) / 32 * 32;
    for (int64_t at = position / 2 * 2; at < end; at += 2)
      for (int64_t step = 0; step < dim_steps(); step++) {
        uint16_t rows[2][planes * kTileInputs] = {};
        for (int64_t r = 0; r < 2; r++)
          if (at + r >= position && at + r < position + count)
            split_step<planes>(from + (at + r - position) * head_dim, head_dim, step, rows[r], kTileInputs);
        for (int64_t plane = 0; plane < planes; plane++)
          for (int64_t half = 0; half < 2; half++) {
            uint16_t* to = values + (step * capacity + at / 32) * kStep + (plane * 2 + half) * kTile + at % 32 / 2 * 32;
            const uint16_t* even = rows[0] + plane * kTileInputs + half * 16;
            const uint16_t* odd = rows[1] + plane * kTileInputs + half * 16;
            if (at < position)
              for (int64_t e = 0; e < 16; e++) to[2 * e + 1] = odd[e];
            else
              for (int64_t e = 0; e < 16; e++) to[2 * e] = even[e], to[2 * e + 1] = odd[e];
          }
      }
  }

  void put(int64_t position, const float* new_keys, const float* new_values, int64_t count) const {
    if (count == 0) return;
    put_keys(position, new_keys, count);
    put_values(position, new_values, count);
  }
};

// Numbers of bfloat16 that keys, or values, of a context take.
inline int64_t kv_tile_numbers(int64_t max_seqlen_k, int64_t head_dim, int64_t planes) {
  return tiles_of(max_seqlen_k) * tiles_of(head_dim) * planes * 2 * kTile;
}

int64_t attention_scratch(int64_t max_seqlen_k, int64_t head_dim, int64_t planes) {
  if (planes == 0) return f32_attention_scratch(max_seqlen_k, head_dim);
  const int64_t rows = 2 * (bf16_panel_bytes(head_dim, planes) + bf16_panel_bytes(kBlockKeys, planes));
  return kAttentionRows * (kScoreStride + tiles_of(head_dim) * kTileInputs) +
         (rows + 2 * 2 * kv_tile_numbers(max_seqlen_k, head_dim, planes)) / int64_t{sizeof(float)};
}

template <int planes>
void bf16_attention(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges,
                    int64_t layer, int64_t head, int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim,
                    int64_t query_tokens, int64_t tokens, const float* queries, const float* keys,
                    const float* values, float* out, float* scratch) {
  [[maybe_unused]] const Bf16Registers registers;
  const int64_t capacity = tiles_of(max_context(query_blocks, count, kv_ranges)), dim_steps = tiles_of(head_dim);
  const int64_t value_stride = dim_steps * kTileInputs;
  uint16_t* kv = reinterpret_cast<uint16_t*>(scratch);
  const int64_t numbers = kv_tile_numbers(capacity * 32, head_dim, planes);
  const KvTiles<planes> gathered{kv, kv + numbers, head_dim, capacity};
  uint16_t* packed_queries = kv + 2 * numbers;
  uint16_t* packed_weights = packed_queries + 2 * dim_steps * planes * kTile;
  float* scores = reinterpret_cast<float*>(packed_weights + 2 * tiles_of(kBlockKeys) * planes * kTile);
  float* sums = scores + kAttentionRows * kScoreStride;
  // C = A B or, with `accumulate`, C += A B, of one or two panels of rows.
  const auto multiply = [](bool two, const uint16_t* a, int64_t a_stride, const uint16_t* b, int64_t steps, float* c,
                           int64_t c_stride, bool accumulate) {
    (two ? bf16_microkernel<2, planes, planes> : bf16_microkernel<1, planes, planes>)(a, a_stride, b, steps, c,
                                                                                      c_stride, accumulate, 0, 0);
  };
  const auto attend = [&](const kernels::QueryBlock& block, int64_t first_seen) {
    const float* own_queries = queries + (head * query_tokens + block.query) * heads_per_kv * head_dim;
    const int64_t rows = (block.stop - block.start) * heads_per_kv;
    for (int64_t row = 0; row < rows; row += kAttentionRows) {
      const int64_t here = rows - row < kAttentionRows ? rows - row : kAttentionRows;
      const bool two = here > kBf16MR;
      const int64_t end = first_seen + (row + here - 1) / heads_per_kv + 1;
      pack_rows_bf16<planes>(own_queries + row * head_dim, head_dim, here, head_dim, nullptr, 0.0f, 0, head_dim,
                             packed_queries, nullptr);
      float max[kAttentionRows], total[kAttentionRows];
      for (int64_t r = 0; r < here; r++) max[r] = kMinusInfinity, total[r] = 0.0f;
      for (int64_t key = 0; key < end; key += kBlockKeys) {
        const int64_t block_keys = end - key < kBlockKeys ? end - key : kBlockKeys, steps = tiles_of(block_keys);
        for (int64_t step = 0; step < steps; step++)
          multiply(two, packed_queries, dim_steps * planes * kTile,
                   gathered.keys + (key / 32 + step) * dim_steps * gathered.kStep, dim_steps, scores + step * 32,
                   kScoreStride, false);
        softmax_rows(scores, here, row, heads_per_kv, first_seen, key, block_keys, max, total, sums, value_stride);
        pack_rows_bf16<planes>(scores, kScoreStride, here, block_keys, nullptr, 0.0f, 0, block_keys, packed_weights,
                               nullptr);
        for (int64_t step = 0; step < dim_steps; step++)
          multiply(two, packed_weights, steps * planes * kTile,
                   gathered.values + (step * capacity + key / 32) * gathered.kStep, steps, sums + step * 32,
                   value_stride, key > 0);
      }
      write_rows(sums, value_stride, total, here, row, block.query, head, num_kv_heads, heads_per_kv, head_dim, out);
    }
  };
  attend_blocks(query_blocks, count, kv_ranges, layer, head, head_dim, keys + head * tokens * head_dim,
                values + head * tokens * head_dim, gathered, attend);
}

void attention(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges, int64_t layer,
               int64_t head, int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim, int64_t query_tokens,
               int64_t tokens, int64_t planes, const float* queries, const float* keys, const float* values, float* out,
               float* scratch) {
  const auto attend = [&](auto attention_of) {
    attention_of(query_blocks, count, kv_ranges, layer, head, num_kv_heads, heads_per_kv, head_dim, query_tokens,
                 tokens, queries, keys, values, out, scratch);
  };
  if (planes == 0) return attend(f32_attention);
  with_planes(planes, [&](auto constant) { attend(bf16_attention<constant>); });
}

}  // namespace
