// The layers of a network over one batch of tokens. Every round of a layer is cut into tasks that threads share.
//
// Shapes: T tokens of the batch, F of them end a row.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/kernels.h"
#include "transformer/batch.h"
#include "transformer/matrix.h"
#include "transformer/packed.h"
#include "transformer/thread_pool.h"

namespace transformer {

// Nanoseconds that all threads together spent, by kind of work.
struct Spent {
  int64_t products = 0;
  int64_t attention = 0;
  int64_t rest = 0;
};

class TransformerCpu {
 public:
  // The caller's part of a forward pass; what any of them throws ends it.
  struct Callbacks {
    std::function<const Layer&(int64_t index)> layer_at;  // before a layer
    std::function<void()> between_rounds;
    std::function<void(int64_t index)> layer_done;
  };

  TransformerCpu(const kernels::KernelTable& table, const Shape& shape, int64_t threads);

  // All layers. The last one goes on after keys and values with the tokens that end a row.
  // x (T, hidden): embeddings, overwritten; workspace: workspace_floats(T, F);
  // out (F, hidden): state of the leaves before the final norm
  void forward(const Batch& batch, int64_t num_layers, const Callbacks& callbacks, float* x, float* workspace,
               float* out);
  int64_t workspace_floats(int64_t tokens, int64_t leaves) const;
  // The largest size, in bytes, of the buffers that stay between calls: packed activations and each thread's scratch.
  // like: a matrix of the precision that the layers have
  int64_t buffer_bytes(const Matrix& like, int64_t intermediate, int64_t tokens, int64_t max_seqlen_k) const;

  // The rounds of a layer.

  // RMSNorm, the three projections, QK-norm and rotary positions.
  // x (tokens, hidden); cosines, sines (tokens, head_dim / 2);
  // queries (num_kv_heads, tokens, heads_per_kv, head_dim), scaled for attention, or nullptr;
  // keys, values (num_kv_heads, tokens, head_dim), or both nullptr
  void qkv_proj(const Layer& layer, const float* x, int64_t tokens, const float* cosines, const float* sines,
                float* queries, float* keys, float* values);
  // Item i is query_blocks[work_items[i]..work_items[i + 1]]. queries (num_kv_heads, query_tokens, heads_per_kv, head_dim);
  // keys, values (num_kv_heads, tokens, head_dim); out (query_tokens, num_kv_heads * heads_per_kv * head_dim);
  // planes: of bfloat16 in its products, 0 for float32
  void attention(const kernels::QueryBlock* query_blocks, const std::vector<int64_t>& work_items,
                 const kernels::KvRange* kv_ranges, int64_t layer, int64_t max_seqlen_k, int64_t query_tokens,
                 int64_t tokens, int64_t planes, const float* queries, const float* keys, const float* values,
                 float* out);
  // x += output(attn_out), then x += down(silu(gate(norm(x))) * up(norm(x))).
  // x (tokens, hidden); attn_out (tokens, num_kv_heads * heads_per_kv * head_dim)
  void output_and_mlp(const Layer& layer, float* x, const float* attn_out, int64_t tokens);

  // One product, for tests and benchmarks. x (tokens, inputs); out (tokens, outputs)
  void multiply(const Matrix& matrix, const float* x, int64_t tokens, float* out);
  // An 8-bit matrix from a stored one. bytes, scales: as kernels::Int8Matrix has them
  void quantize_int8(const kernels::StoredMatrix& matrix, int64_t group, uint8_t* bytes, float* scales);
  // An 8-bit matrix from blocks of GGUF's Q8_0: integers and scales stay as they are.
  // blocks (outputs, inputs / 32, 34): a float16 scale and 32 signed bytes each
  void repack_q8_0(const uint8_t* blocks, int64_t outputs, int64_t inputs, uint8_t* bytes, float* scales);

  const kernels::KernelTable& table() const { return table_; }
  const Shape& shape() const { return shape_; }
  Spent spent() const;

 private:
  // Outputs first..first+columns of matrix `which`.
  struct OutputRange {
    int64_t first;
    int64_t columns;
    int64_t which;
  };

  int64_t head_columns(const Gemm& gemm) const;
  Gemm gemm(const Matrix& matrix) const { return Gemm(table_, matrix); }
  void pack(const Gemm& gemm, const float* x, int64_t stride, int64_t tokens, const float* norm);
  template <typename Finish>
  void product(Packed& packed, const std::vector<const Matrix*>& matrices, int64_t width, int64_t tokens,
               int64_t together, const Finish& finish);
  float* scratch(int64_t thread, int64_t floats);

  const kernels::KernelTable& table_;
  const Shape shape_;
  ThreadPool pool_;
  Packed input_, inner_;
  std::vector<Array<float>> scratch_;
  struct alignas(64) Clock {
    Spent spent;
  };
  std::vector<Clock> clocks_;
};

}  // namespace transformer
