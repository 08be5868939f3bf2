// The three rounds of a layer over one batch's tokens: project, attend, finish. Each shares its work among threads.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/pool.h"
#include "kernels/table.h"

namespace engine {

// A weight matrix, in float32 (however stored) or in 8 bits.
struct Matrix {
  bool in_panels = false;
  int64_t digits = 1;  // of the activations that meet an 8-bit matrix
  kernels::StoredMatrix stored{};
  kernels::PanelMatrix panels{};

  int64_t outputs() const { return in_panels ? panels.outputs : stored.outputs; }
  int64_t inputs() const { return in_panels ? panels.inputs : stored.inputs; }
};

struct Layer {
  const float* attention_norm;
  Matrix query, key, value;
  const float* query_norm;
  const float* key_norm;
  Matrix output;
  const float* mlp_norm;
  Matrix gate, up, down;
};

struct Shape {
  int64_t hidden;
  int64_t key_value_heads;
  int64_t repeats;  // query heads for each key/value head
  int64_t head_dim;
  float epsilon;
};

// Activations laid out for a product, of one strip of tokens.
struct Packed {
  std::vector<float> floats;
  std::vector<int8_t> bytes;
  std::vector<float> scales;
  std::vector<int32_t> offsets;
};

// Nanoseconds that all threads together spent, by kind of work.
struct Spent {
  int64_t products = 0;
  int64_t attention = 0;
  int64_t rows = 0;
};

class Network {
 public:
  Network(const kernels::Table& table, const Shape& shape, int64_t threads);

  // Norm, queries, keys and values, QK-norm and rotary positions of the tokens x (tokens, hidden).
  //   queries: (key/value heads, tokens, repeats, head_dim), scaled for attention, or nullptr
  //   keys, values: (key/value heads, tokens, head_dim), or both nullptr
  //   cosines, sines: (tokens, head_dim / 2)
  void project(const Layer& layer, const float* x, int64_t tokens, const float* cosines, const float* sines,
               float* queries, float* keys, float* values);
  // Task i is pieces[tasks[i]..tasks[i + 1]]; no token sees more than `longest`. Shapes as kernels::Table::attend's.
  void attend(const kernels::Piece* pieces, const int64_t* tasks, int64_t num_tasks, const kernels::Run* runs,
              int64_t longest, int64_t query_tokens, int64_t tokens, const float* queries, const float* keys,
              const float* values, float* mixed);
  // x += output(mixed), then x += down(silu(gate(norm(x))) * up(norm(x))).
  void finish(const Layer& layer, float* x, const float* mixed, int64_t tokens);
  // One product as it is, for tests and for measuring: out (tokens, outputs).
  void multiply(const Matrix& matrix, const float* x, int64_t tokens, float* out);
  // An 8-bit matrix from a stored one.
  void quantise(const kernels::StoredMatrix& matrix, int64_t group, uint8_t* bytes, float* scales);

  const kernels::Table& table() const { return table_; }
  Spent spent() const;

 private:
  struct Range {
    int64_t first;
    int64_t columns;
    int64_t which;
  };

  int64_t panel(const Matrix& matrix) const;
  int64_t tile_rows(const Matrix& matrix) const;
  int64_t groups(const Matrix& matrix) const;
  void make_room(Packed& packed, const Matrix& matrix, int64_t tokens) const;
  kernels::Digits digits(Packed& packed, const Matrix& matrix, int64_t first_row) const;
  void pack(Packed& packed, const Matrix& matrix, const float* x, int64_t stride, int64_t tokens, const float* norm);
  template <typename Finish>
  void product(const Packed& packed, const Matrix* const* matrices, int64_t count, const int64_t* widths,
               int64_t tokens, int64_t together, const Finish& finish);
  float* scratch(int64_t thread, int64_t floats);

  const kernels::Table& table_;
  const Shape shape_;
  Pool pool_;
  Packed input_, inner_;
  std::vector<std::vector<float>> scratch_;
  struct alignas(64) Clock {
    Spent spent;
  };
  std::vector<Clock> clocks_;
};

}  // namespace engine
