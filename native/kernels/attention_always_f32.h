// Attention of variants that compute it in float32, whatever the precision.
#pragma once

#include "kernels/attention_f32.h"

namespace {

int64_t attention_scratch(int64_t max_seqlen_k, int64_t head_dim, int64_t) {
  return f32_attention_scratch(max_seqlen_k, head_dim);
}

void attention(const kernels::QueryBlock* query_blocks, int64_t count, const kernels::KvRange* kv_ranges, int64_t layer,
               int64_t head, int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim, int64_t query_tokens,
               int64_t tokens, int64_t, const float* queries, const float* keys, const float* values, float* out,
               float* scratch) {
  f32_attention(query_blocks, count, kv_ranges, layer, head, num_kv_heads, heads_per_kv, head_dim, query_tokens, tokens,
                queries, keys, values, out, scratch);
}

}  // namespace
