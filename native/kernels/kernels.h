// The table of kernels that every variant of the processor offers. Each kernel runs on one thread; transformer/ cuts the
// work and calls them.
//
// The words are those of BLIS. A product C = A B^T is computed in tiles of MR tokens times NR outputs. Their sums stay in
// registers. A micropanel holds MR rows of A, or NR outputs of B, in the order in which the microkernel reads them. KC is
// the depth, in inputs, that a micropanel of B has at once.
#pragma once

#include <cstdint>

namespace kernels {

// The type of a checkpoint's numbers. Bytes may begin anywhere: files do not align their tensors.
enum class DType : int32_t { kBF16 = 0, kF16 = 1, kF32 = 2 };

// A weight matrix as published, (outputs, inputs) row by row.
struct StoredMatrix {
  const uint8_t* data;
  DType dtype;
  int64_t outputs;
  int64_t inputs;
};

// Outputs of a micropanel of an 8-bit matrix: the same in every variant, so that one file on disk serves them all.
constexpr int64_t kInt8NR = 64;
// Inputs of a float32 micropanel: 224 * 32 floats are 28 KiB, which stay in the first-level cache.
constexpr int64_t kF32KC = 224;
// Inputs of an 8-bit micropanel, where a group is no larger.
constexpr int64_t kInt8KC = 256;

// An 8-bit weight matrix in micropanels: w = scale * (byte - 128), one scale for each output and group of inputs.
//   bytes:  (panels, groups, group / 4, NR, 4); outputs and inputs beyond the matrix are 128, that is zero
//   scales: (panels, groups, NR)
// gemm_int8.h shows a picture of it.
struct Int8Matrix {
  const uint8_t* bytes;
  const float* scales;
  int64_t outputs;
  int64_t inputs;
  int64_t group;
};

// Activations rounded to 8 bits in one plane, or to 16 bits in two planes of 8 bits:
// x = scale * first, or x = scale * (256 * first + second). In micropanels of MR rows, where a token has one row a plane:
//   bytes:   (panels, groups, group / 4, MR, 4)
//   scales:  (panels, groups, MR / planes)
//   offsets: (panels, groups, MR), -128 times the sum of a group's bytes, which undoes the 128 added to every weight
struct Int8Activations {
  int8_t* bytes;
  float* scales;
  int32_t* offsets;
};

// Queries of one segment: tokens start..stop of the batch, of a segment that begins at token `segment_start`. They attend
// to all tokens of kv_ranges first_range..last_range, root first, and then to their own segment up to themselves.
struct QueryBlock {
  int64_t segment_start;
  int64_t start;
  int64_t stop;
  int64_t query;  // index of the first of them among the queries, and in the result
  int64_t first_range;
  int64_t last_range;
};

// Keys and values of consecutive tokens, of the batch or of a segment that was computed before.
// Those of a layer and a head begin at layer * layer_stride + head * head_stride.
struct KvRange {
  const float* keys;    // (layers, ..., num_kv_heads, head_stride / head_dim, head_dim), moved to the first token
  const float* values;  // as keys
  int64_t layer_stride;
  int64_t head_stride;
  int64_t tokens;
};

// Stored vectors: each is a float32 scale and `columns` bytes, x = scale * byte, `stride` bytes after the one before.
struct Int8Rows {
  const uint8_t* data;
  int64_t stride;
  int64_t columns;
};

// Takes the sums of panels first_panel..first_panel+panels, (panels * MR, count * columns), while caches hold them.
struct RowsDone {
  void (*call)(void* context, int64_t first_panel, int64_t panels, float* sums);
  void* context;
};

// The product in bfloat16: activations are a sum of `planes` numbers of bfloat16, 1 or float32_planes, weights are rounded to bfloat16, sums are
// float32. Micropanels of A are in the variant's own form.
struct Bf16Kernels {
  int64_t mr;
  int64_t nr;
  // Planes with which a product by weights of bfloat16 is as exact as one in float32; 0: gemm_f32 takes its place.
  int64_t float32_planes;
  // Bytes of a micropanel of A.
  int64_t (*panel_bytes)(int64_t inputs, int64_t planes);
  // Bytes of scratch that the products need.
  int64_t (*scratch_bytes)(int64_t inputs, int64_t columns);

  // As pack_f32 and rmsnorm_pack_f32; `first` is a multiple of 32.
  void (*pack)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
               int64_t planes, void* packed);
  void (*rmsnorm_pack)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                       int64_t planes, void* packed, float* scratch);

  // The same outputs of `count` matrices, first..first+columns, whole panels. As rows are done they are handed on.
  // sums: room for sum_panels panels of rows, (mr, count * columns) each; scratch: scratch_bytes of count * columns
  void (*gemm)(const void* packed, int64_t panels, int64_t planes, const StoredMatrix* const* matrices, int64_t count,
               int64_t first, int64_t columns, const RowsDone& done, float* sums, void* scratch);
  // The same with activations in one plane, by 8-bit weights times their scales; nullptr: gemm_int8 takes its place.
  void (*gemm_int8)(const void* packed, int64_t panels, const Int8Matrix* const* matrices, int64_t count,
                    int64_t first, int64_t columns, const RowsDone& done, float* sums, void* scratch);
  int64_t (*sum_panels)(int64_t inputs, int64_t panels);
};

struct KernelTable {
  const char* name;
  bool (*supported)();
  int64_t f32_mr;
  int64_t f32_nr;
  int64_t int8_mr;  // with two planes half as many tokens

  // RMSNorm of each row. x (rows, columns), rows `stride` apart; weight (columns); out (rows, columns)
  void (*rmsnorm)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                  float* out);

  // Micropanels of A in float32: columns first..first+columns of `packed`.
  // x (rows, columns), rows `stride` apart; packed (panels, depth, MR). Rows of the last panel beyond `rows` become zero.
  void (*pack_f32)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
                   float* packed);
  // RMSNorm, then pack_f32 of whole rows. weight (columns); packed (panels, columns, MR); scratch (columns)
  void (*rmsnorm_pack_f32)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight,
                           float epsilon, float* packed, float* scratch);

  // Micropanels of A in 8 bits: columns first..first+columns of `out`.
  // x (rows, columns), rows `stride` apart; `first` is a multiple of `group`; `groups` counts those of a whole row of `out`.
  void (*pack_int8)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t group,
                    int64_t groups, int64_t planes, const Int8Activations& out);
  // RMSNorm, then pack_int8 of whole rows. weight (columns); scratch (columns)
  void (*rmsnorm_pack_int8)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight,
                            float epsilon, int64_t group, int64_t groups, int64_t planes, const Int8Activations& out,
                            float* scratch);

  // C = A B^T, outputs first..first+columns of the matrix, `columns` rounded up to whole panels.
  // packed (panels, inputs, MR); out (panels * MR, columns), rows `stride` apart; scratch (KC * NR)
  void (*gemm_f32)(const float* packed, int64_t panels, const StoredMatrix& matrix, int64_t first, int64_t columns,
                   float* out, int64_t stride, float* scratch);
  // The same in 8 bits. out (panels * MR / planes, columns), rows `stride` apart; scratch: 128 * max(KC, group) bytes
  void (*gemm_int8)(const Int8Activations& packed, int64_t panels, int64_t planes, const Int8Matrix& matrix,
                    int64_t first, int64_t columns, float* out, int64_t stride, void* scratch);

  Bf16Kernels bf16;

  // x += y. x (rows, columns), rows `x_stride` apart; y (rows, columns), rows `y_stride` apart
  void (*add_residual)(float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns);

  // gate = silu(gate) * up, in place. gate, up (rows, columns), rows `stride` apart; columns are whole vectors
  void (*swiglu)(float* gate, const float* up, int64_t stride, int64_t rows, int64_t columns);

  // RMSNorm of each head, then rotary positions, then times `factor`.
  // x (rows, heads, head_dim), rows `stride` apart; weight (head_dim); cosines, sines (rows, head_dim / 2);
  // head h of row r is written to out + r * out_stride + out_head_offsets[h], (head_dim)
  void (*rmsnorm_rope)(const float* x, int64_t stride, int64_t rows, int64_t heads, int64_t head_dim,
                       const float* weight, float epsilon, float factor, const float* cosines, const float* sines,
                       float* out, int64_t out_stride, const int64_t* out_head_offsets);

  // Attention of `count` query blocks, for the query heads that share key/value head `head`.
  // queries (num_kv_heads, query_tokens, heads_per_kv, head_dim), scaled; keys, values (num_kv_heads, tokens, head_dim);
  // out (query_tokens, num_kv_heads, heads_per_kv, head_dim); scratch: attention_scratch floats;
  // planes: of bfloat16 that its products are computed in, 1 or float32_planes, or 0 for float32; a variant without such products takes float32
  void (*attention)(const QueryBlock* query_blocks, int64_t count, const KvRange* kv_ranges, int64_t layer, int64_t head,
                    int64_t num_kv_heads, int64_t heads_per_kv, int64_t head_dim, int64_t query_tokens, int64_t tokens,
                    int64_t planes, const float* queries, const float* keys, const float* values, float* out, float* scratch);
  // Floats of scratch that attention needs where no query sees more than `max_seqlen_k` tokens.
  int64_t (*attention_scratch)(int64_t max_seqlen_k, int64_t head_dim, int64_t planes);

  // Panels first_panel..last_panel of an 8-bit matrix from a stored one.
  // bytes, scales: as Int8Matrix has them, from panel 0 on
  void (*quantize_int8)(const StoredMatrix& matrix, int64_t first_panel, int64_t last_panel, int64_t group,
                        uint8_t* bytes, float* scales);

  // Scores of `count` stored vectors: the sum of row times query, which must fit in 32 bits, times the row's scale.
  // numbers (count): of the rows; query (columns); scores (count). The bits are the same in every variant.
  void (*scan_int8)(const Int8Rows& rows, const int64_t* numbers, int64_t count, const int16_t* query, float* scores);
};

}  // namespace kernels
