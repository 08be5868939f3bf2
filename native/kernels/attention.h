// Attention of a segment's tokens over [ancestors | own], for the query heads that share one key/value head.
//
// Keys are taken in blocks of absolute positions (0..511, 512..1023, ...) and every sum runs in their order, so a token's
// result has the same bits whatever the tree was cut into and whoever else was in the batch.
#pragma once

#include <limits>

#include "kernels/exponential.h"
#include "kernels/float_product.h"
#include "kernels/table.h"

namespace {

constexpr int64_t kBlockKeys = 512;
// Not a multiple of the cache's 4 KiB period: twelve rows are read side by side.
constexpr int64_t kScoreStride = kBlockKeys + 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

inline int64_t whole_columns(int64_t count) { return (count + kFloatColumns - 1) / kFloatColumns * kFloatColumns; }

int64_t attend_scratch(int64_t context, int64_t head_dim) {
  return whole_columns(context) * head_dim + context * whole_columns(head_dim) +
         kFloatRows * (kScoreStride + whole_columns(head_dim));
}

// One tile of `rows` rows, as many as there are: the compiler makes a loop for each number.
template <bool accumulate, int most = kFloatRows>
inline void tile_of(int64_t rows, const float* a, int64_t row_stride, const float* b, int64_t b_stride, int64_t depth,
                    float* c, int64_t c_stride) {
  if (rows == most)
    float_tile<most, false, accumulate>(a, row_stride, b, b_stride, depth, c, c_stride);
  else if constexpr (most > 1)
    tile_of<accumulate, most - 1>(rows, a, row_stride, b, b_stride, depth, c, c_stride);
}

// Keys and values of one row's context, gathered: keys in panels of kFloatColumns positions, turned; values in rows.
struct Context {
  float* key_panels;
  float* value_rows;
  int64_t head_dim;
  int64_t value_stride;

  void put(int64_t position, const float* keys, const float* values, int64_t count) const {
    int64_t t = 0;
    while (t < count) {
      const int64_t at = position + t;
      float* panel = key_panels + at / kFloatColumns * kFloatColumns * head_dim + at % kFloatColumns;
      if (at % kLanes == 0 && count - t >= kLanes && head_dim % kLanes == 0) {
        for (int64_t e = 0; e < head_dim; e += kLanes) {
          Floats block[kLanes];
#pragma GCC unroll 16
          for (int r = 0; r < kLanes; r++) block[r] = load(keys + (t + r) * head_dim + e);
          transpose(block);
#pragma GCC unroll 16
          for (int r = 0; r < kLanes; r++) store(panel + (e + r) * kFloatColumns, block[r]);
        }
        t += kLanes;
      } else {
        for (int64_t e = 0; e < head_dim; e++) panel[e * kFloatColumns] = keys[t * head_dim + e];
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

// Scores of one row -> weights; returns their sum. Sees `seen` of the `count` keys; the rest gets weight 0.
inline float soften(float* scores, int64_t seen, int64_t count, float* most, float* decay) {
  Floats highest = broadcast(*most);
  int64_t j = 0;
  for (; j + kLanes <= seen; j += kLanes) highest = larger(highest, load(scores + j));
  const int64_t end = (count + kLanes - 1) / kLanes * kLanes;
  for (int64_t rest = seen; rest < end; rest++) scores[rest] = kMinusInfinity;
  for (; j < end; j += kLanes) highest = larger(highest, load(scores + j));
  const float before = *most;
  *most = largest(highest);
  float last[kLanes];
  store(last, exponential(broadcast(before - *most)));
  *decay = last[0];
  Floats total = broadcast(0.0f);
  for (j = 0; j < end; j += kLanes) {
    const Floats weight = exponential(subtract(load(scores + j), broadcast(*most)));
    store(scores + j, weight);
    total = add(total, weight);
  }
  return sum(total);
}

void attend(const kernels::Piece* pieces, int64_t count, const kernels::Run* runs, int64_t head,
            int64_t key_value_heads, int64_t repeats, int64_t head_dim, int64_t query_tokens, int64_t tokens,
            const float* queries, const float* keys, const float* values, float* out, float* scratch) {
  const float* own_queries = queries + head * query_tokens * repeats * head_dim;
  const float* own_keys = keys + head * tokens * head_dim;
  const float* own_values = values + head * tokens * head_dim;
  const int64_t value_stride = whole_columns(head_dim);
  int64_t longest = 0;
  for (int64_t p = 0; p < count; p++) {
    int64_t context = pieces[p].stop - pieces[p].begin;
    for (int64_t r = pieces[p].first_run; r < pieces[p].last_run; r++) context += runs[r].tokens;
    longest = context > longest ? context : longest;
  }
  float* scores = scratch;
  float* mixed = scores + kFloatRows * kScoreStride;
  const Context context{mixed + kFloatRows * value_stride,
                        mixed + kFloatRows * value_stride + whole_columns(longest) * head_dim, head_dim, value_stride};
  int64_t above = 0, held_begin = -1, held_stop = -1, held_first = -1, held_last = -1;
  for (int64_t p = 0; p < count; p++) {
    const kernels::Piece& piece = pieces[p];
    if (p == 0 || piece.first_run != held_first || piece.last_run != held_last) {
      above = 0;
      for (int64_t r = piece.first_run; r < piece.last_run; r++) {
        const int64_t offset = head * runs[r].head_stride;
        context.put(above, runs[r].keys + offset, runs[r].values + offset, runs[r].tokens);
        above += runs[r].tokens;
      }
      held_begin = -1;
    }
    const int64_t from = piece.begin == held_begin && piece.stop >= held_stop ? held_stop : piece.begin;
    context.put(above + from - piece.begin, own_keys + from * head_dim, own_values + from * head_dim,
                piece.stop - from);
    held_first = piece.first_run, held_last = piece.last_run, held_begin = piece.begin, held_stop = piece.stop;

    const int64_t rows = (piece.stop - piece.start) * repeats;
    for (int64_t row = 0; row < rows; row += kFloatRows) {
      const int64_t here = rows - row < kFloatRows ? rows - row : kFloatRows;
      const float* asking = own_queries + (piece.query * repeats + row) * head_dim;
      const int64_t end = above + piece.start - piece.begin + (row + here - 1) / repeats + 1;
      float most[kFloatRows], total[kFloatRows];
      for (int64_t r = 0; r < here; r++) most[r] = kMinusInfinity, total[r] = 0.0f;
      for (int64_t block = 0; block < end; block += kBlockKeys) {
        const int64_t block_keys = end - block < kBlockKeys ? end - block : kBlockKeys;
        for (int64_t j = 0; j < block_keys; j += kFloatColumns)
          tile_of<false>(here, asking, head_dim, context.key_panels + (block + j) * head_dim, kFloatColumns, head_dim,
                         scores + j, kScoreStride);
        for (int64_t r = 0; r < here; r++) {
          const int64_t sees = above + piece.start - piece.begin + (row + r) / repeats + 1 - block;
          const int64_t seen = sees < 0 ? 0 : sees < block_keys ? sees : block_keys;
          float decay;
          const float more = soften(scores + r * kScoreStride, seen, block_keys, most + r, &decay);
          total[r] = total[r] * decay + more;
          if (block > 0)
            for (int64_t e = 0; e < value_stride; e += kLanes) {
              float* to = mixed + r * value_stride + e;
              store(to, multiply(load(to), broadcast(decay)));
            }
        }
        for (int64_t e = 0; e < value_stride; e += kFloatColumns) {
          const float* value = context.value_rows + block * value_stride + e;
          if (block == 0)
            tile_of<false>(here, scores, kScoreStride, value, value_stride, block_keys, mixed + e, value_stride);
          else
            tile_of<true>(here, scores, kScoreStride, value, value_stride, block_keys, mixed + e, value_stride);
        }
      }
      for (int64_t r = 0; r < here; r++) {
        const int64_t token = piece.query + (row + r) / repeats, repeat = (row + r) % repeats;
        float* to = out + ((token * key_value_heads + head) * repeats + repeat) * head_dim;
        int64_t e = 0;
        for (; e + kLanes <= head_dim; e += kLanes)
          store(to + e, divide(load(mixed + r * value_stride + e), broadcast(total[r])));
        for (; e < head_dim; e++) to[e] = mixed[r * value_stride + e] / total[r];
      }
    }
  }
}

}  // namespace
