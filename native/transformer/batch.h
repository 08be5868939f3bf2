// What the layers have to know of a batch: which tokens see which keys, and what is read and written of keys and values.
//
// Shapes: T tokens of the batch, F of them end a row.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace transformer {

// Keys and values of a segment in every layer, (layers, 2, num_kv_heads, tokens, head_dim).
struct KvCache {
  const float* data;
  int64_t tokens;
};

// Where to write keys and values of tokens start..start+tokens of the batch, (layers, 2, num_kv_heads, tokens, head_dim).
struct NewKv {
  float* data;
  int64_t start;
  int64_t tokens;
};

// Consecutive tokens: of the batch where `source` is 0, otherwise of kv_cache[source - 1].
struct SourceRange {
  int64_t source;
  int64_t first;
  int64_t tokens;
};

// What the layers have to know of a batch. It is checked and built once for all layers.
struct Batch {
  int64_t tokens = 0;
  const float* cosines = nullptr;                // (T, head_dim / 2)
  const float* sines = nullptr;                  // (T, head_dim / 2)
  std::vector<kernels::QueryBlock> all_queries;  // every token, in order of their work items
  std::vector<int64_t> work_items;               // item i is all_queries[work_items[i]..work_items[i + 1]]
  std::vector<kernels::QueryBlock> leaf_queries;  // one block of one query for each token that ends a row
  std::vector<SourceRange> kv_ranges;
  std::vector<KvCache> kv_cache;
  std::vector<NewKv> new_kv;
  int64_t max_seqlen_k = 0;

  // Throws std::invalid_argument for what would read or write outside of the batch.
  void check() const;
};

}  // namespace transformer
