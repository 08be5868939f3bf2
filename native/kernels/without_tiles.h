// What variants without tiles leave to the float32 and 8-bit products: float32 itself, weights of 8 bits, and attention.
#pragma once

#include <cstddef>

#include "kernels/attention_f32.h"

namespace {

// Three planes of bfloat16 in place of float32 repay only where they take less than a third of FMA's time.
constexpr int64_t kFloat32Planes = 0;
constexpr std::nullptr_t gemm_int8_as_bf16 = nullptr;

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
