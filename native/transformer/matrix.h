// The weights of a layer, and the shape that all layers have.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace transformer {

// A weight matrix, stored as the file has it or in 8 bits, and how it is multiplied.
struct Matrix {
  bool is_int8 = false;
  // Planes that activations are split into: of 8 bits for an 8-bit matrix, otherwise of bfloat16, where 0 is float32.
  int64_t planes = 0;
  // Whether all matrices of its layer are stored in bfloat16, which decides for all of them how float32 is multiplied.
  bool layer_is_bf16 = false;
  kernels::StoredMatrix stored{};
  kernels::Int8Matrix int8{};

  int64_t outputs() const { return is_int8 ? int8.outputs : stored.outputs; }
  int64_t inputs() const { return is_int8 ? int8.inputs : stored.inputs; }
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
  int64_t num_kv_heads;
  int64_t heads_per_kv;
  int64_t head_dim;
  float epsilon;

  int64_t q_width() const { return num_kv_heads * heads_per_kv * head_dim; }
  int64_t kv_width() const { return num_kv_heads * head_dim; }
};

}  // namespace transformer
