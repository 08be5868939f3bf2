// What every variant offers: the loops that take the time, each on one thread. engine/ cuts the work and calls them.
#pragma once

#include <cstdint>

namespace kernels {

// How a checkpoint stores a number. Bytes may begin anywhere: files do not align their tensors.
enum class Storage : int32_t { kBfloat16 = 0, kFloat16 = 1, kFloat32 = 2 };

// A weight matrix as published, (outputs, inputs) row by row.
struct StoredMatrix {
  const uint8_t* data;
  Storage storage;
  int64_t outputs;
  int64_t inputs;
};

// Outputs in a panel of an 8-bit matrix, the same in every variant, so that one file on disk serves them all.
constexpr int64_t kPanelOutputs = 64;

// An 8-bit weight matrix: w = scale * (byte - 128), one scale for each output and group of inputs.
//   bytes:  (panels, groups, group / 4, 64, 4), outputs and inputs beyond the matrix are 128, that is zero
//   scales: (panels, groups, 64)
struct PanelMatrix {
  const uint8_t* bytes;
  const float* scales;
  int64_t outputs;
  int64_t inputs;
  int64_t group;
};

// Activations rounded to `digits` bytes a value, 1 or 2: x = scale * (256 * first + second) or scale * first, in tiles of
// rows: bytes (tiles, groups, group / 4, rows * digits, 4), scales and offsets (tiles, groups, rows [* digits]);
// an offset is -128 times the sum of a group's bytes, which undoes the 128 that was added to every weight.
struct Digits {
  int8_t* bytes;
  float* scales;
  int32_t* offsets;
};

// One thread's share of attention: some pieces of segments, for one key/value head.
struct Piece {
  int64_t begin;      // the segment's first token in the batch
  int64_t start;      // tokens start..stop ask
  int64_t stop;
  int64_t query;      // where the first of them is among the queries and in the result
  int64_t first_run;  // runs first_run..last_run hold the ancestors, root first
  int64_t last_run;
};
struct Run {
  const float* keys;  // (key/value heads, head_stride / head_dim, head_dim)
  const float* values;
  int64_t head_stride;
  int64_t tokens;
};

struct Table {
  const char* name;
  bool (*runs_here)();
  int64_t float_rows;     // rows of a tile of activations in float32
  int64_t float_columns;  // outputs of a panel in float32
  int64_t digit_rows;     // rows of bytes in a tile of 8-bit activations; with two digits half as many tokens

  // Rows of x (apart by `stride`), each scaled to a root mean square of 1 and times `weight`.
  void (*rms_norm)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                   float* out);

  // Columns first..first+columns of a packed matrix of `depth` columns, (tiles, depth, rows of a tile), from rows of x.
  // The tile's rows beyond `rows` become zero.
  void (*pack)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t depth,
               float* packed);
  // The same after rms_norm; whole rows.
  void (*norm_pack)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                    float* packed, float* scratch);
  // The same in 8-bit digits. `first` is a multiple of the group; `groups` counts those of the whole matrix.
  void (*round)(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t first, int64_t group,
                int64_t groups, int64_t digits, const Digits& out);
  void (*norm_round)(const float* x, int64_t stride, int64_t rows, int64_t columns, const float* weight, float epsilon,
                     int64_t group, int64_t groups, int64_t digits, const Digits& out, float* scratch);

  // out (tiles * rows of a tile, stride) = packed activations times outputs first..first+columns of the matrix,
  // `columns` rounded up to whole panels. scratch: float_columns * kFloatDepth floats, or 128 * max(256, group) bytes.
  void (*multiply_float)(const float* packed, int64_t tiles, const StoredMatrix& matrix, int64_t first, int64_t columns,
                         float* out, int64_t stride, float* scratch);
  void (*multiply_digits)(const Digits& packed, int64_t tiles, int64_t digits, const PanelMatrix& matrix, int64_t first,
                          int64_t columns, float* out, int64_t stride, void* scratch);

  // to += from, row by row.
  void (*add_rows)(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows, int64_t columns);
  // gate = silu(gate) * up, in place.
  void (*gated)(float* gate, const float* up, int64_t stride, int64_t rows, int64_t columns);
  // One head after another of each row: norm, rotate, times `factor`; `out` moves by the strides given.
  void (*norm_rotate)(const float* x, int64_t stride, int64_t rows, int64_t heads, int64_t head_dim,
                      const float* weight, float epsilon, float factor, const float* cosines, const float* sines,
                      float* out, int64_t out_row_stride, const int64_t* out_head_offsets);

  // Attention of some pieces for key/value head `head`.
  //   queries: (key/value heads, query_tokens, repeats, head_dim), keys, values: (key/value heads, tokens, head_dim),
  //   out: (query_tokens, all query heads, head_dim)
  void (*attend)(const Piece* pieces, int64_t count, const Run* runs, int64_t head, int64_t key_value_heads,
                 int64_t repeats, int64_t head_dim, int64_t query_tokens, int64_t tokens, const float* queries,
                 const float* keys, const float* values, float* out, float* scratch);
  // Floats of scratch that attend needs for rows of `context` tokens.
  int64_t (*attend_scratch)(int64_t context, int64_t head_dim);

  // Panels first..last of an 8-bit matrix from a stored one.
  void (*quantise)(const StoredMatrix& matrix, int64_t first_panel, int64_t last_panel, int64_t group, uint8_t* bytes,
                   float* scales);
};

// Inputs that a float panel holds at once: 224 * 32 floats are 28 KiB, which stay in the first-level cache.
constexpr int64_t kFloatDepth = 224;

}  // namespace kernels
