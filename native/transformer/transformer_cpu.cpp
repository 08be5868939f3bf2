#include "transformer/transformer_cpu.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/float16.h"

namespace transformer {
namespace {

// Panels of activations that one task of packing takes.
constexpr int64_t kPackPanels = 4;
// Inputs of a group, and bytes of a block, of GGUF's Q8_0.
constexpr int64_t kQ8Group = 32;
constexpr int64_t kQ8BlockBytes = 2 + kQ8Group;

int64_t round_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

TransformerCpu::TransformerCpu(const kernels::KernelTable& table, const Shape& shape, int64_t threads)
    : table_(table), shape_(shape), pool_(threads), scratch_(pool_.threads()), clocks_(pool_.threads()) {}

Spent TransformerCpu::spent() const {
  Spent total;
  for (const Clock& clock : clocks_) {
    total.products += clock.spent.products;
    total.attention += clock.spent.attention;
    total.rest += clock.spent.rest;
  }
  return total;
}

int64_t TransformerCpu::workspace_floats(int64_t tokens, int64_t leaves) const {
  return tokens * 2 * (shape_.q_width() + shape_.kv_width()) + leaves * shape_.head_dim;
}

void TransformerCpu::forward(const Batch& batch, int64_t num_layers, const Callbacks& callbacks, float* x,
                             float* workspace, float* out) {
  const int64_t tokens = batch.tokens, leaves = static_cast<int64_t>(batch.leaf_queries.size());
  const int64_t hidden = shape_.hidden, half = shape_.head_dim / 2, kv_floats = tokens * shape_.kv_width();
  float* queries = workspace;
  float* attn_out = queries + tokens * shape_.q_width();
  float* keys = attn_out + tokens * shape_.q_width();
  float* values = keys + kv_floats;
  float* leaf_cosines = values + kv_floats;
  float* leaf_sines = leaf_cosines + leaves * half;

  std::vector<kernels::KvRange> kv_ranges;
  for (const SourceRange& range : batch.kv_ranges) {
    const int64_t held = range.source ? batch.kv_cache[range.source - 1].tokens : tokens;
    const float* from = range.source ? batch.kv_cache[range.source - 1].data : keys;
    const float* values_from = range.source ? from + held * shape_.kv_width() : values;
    const int64_t offset = range.first * shape_.head_dim;
    kv_ranges.push_back({from + offset, values_from + offset, range.source ? 2 * held * shape_.kv_width() : 0,
                         held * shape_.head_dim, range.tokens});
  }
  const auto write_kv = [&](int64_t layer) {
    for (const NewKv& each : batch.new_kv) {
      float* to = each.data + layer * 2 * each.tokens * shape_.kv_width();
      for (const float* from : {keys, values})
        for (int64_t head = 0; head < shape_.num_kv_heads; head++, to += each.tokens * shape_.head_dim)
          memcpy(to, from + (head * tokens + each.start) * shape_.head_dim,
                 each.tokens * shape_.head_dim * sizeof(float));
    }
  };

  for (int64_t index = 0; index < num_layers; index++) {
    const Layer& layer = callbacks.layer_at(index);
    const bool last = index == num_layers - 1;
    const int64_t planes = gemm(layer.query).attention_planes();
    qkv_proj(layer, x, tokens, batch.cosines, batch.sines, last ? nullptr : queries, keys, values);
    write_kv(index);
    callbacks.between_rounds();
    if (!last) {
      attention(batch.all_queries.data(), batch.work_items, kv_ranges.data(), index, batch.max_seqlen_k, tokens, tokens,
                planes, queries, keys, values, attn_out);
      callbacks.between_rounds();
      output_and_mlp(layer, x, attn_out, tokens);
    } else if (leaves) {
      std::vector<int64_t> items(leaves + 1);
      std::iota(items.begin(), items.end(), 0);
      for (int64_t leaf = 0; leaf < leaves; leaf++) {
        const int64_t token = batch.leaf_queries[leaf].start;
        memcpy(out + leaf * hidden, x + token * hidden, hidden * sizeof(float));
        memcpy(leaf_cosines + leaf * half, batch.cosines + token * half, half * sizeof(float));
        memcpy(leaf_sines + leaf * half, batch.sines + token * half, half * sizeof(float));
      }
      qkv_proj(layer, out, leaves, leaf_cosines, leaf_sines, queries, nullptr, nullptr);
      attention(batch.leaf_queries.data(), items, kv_ranges.data(), index, batch.max_seqlen_k, leaves, tokens, planes,
                queries, keys, values, attn_out);
      output_and_mlp(layer, out, attn_out, leaves);
    }
    callbacks.layer_done(index);
  }
}

float* TransformerCpu::scratch(int64_t thread, int64_t floats) {
  Array<float>& own = scratch_[thread];
  if (static_cast<int64_t>(own.size()) < floats) own.resize(floats);
  return own.data();
}

// Outputs that a task of qkv_proj takes: whole heads and whole panels.
int64_t TransformerCpu::head_columns(const Gemm& gemm) const {
  const int64_t smallest = std::lcm(shape_.head_dim, gemm.nr());
  return std::max(smallest, gemm.columns() / smallest * smallest);
}

// Outputs that a task of gate and up takes: whole panels that give whole groups of the next product's inputs.
int64_t mlp_columns(const Gemm& gate, const Matrix& down) {
  return down.is_int8 ? std::lcm(gate.columns(2), down.int8.group) : gate.columns(2);
}

int64_t TransformerCpu::buffer_bytes(const Matrix& like, int64_t intermediate, int64_t tokens,
                                     int64_t max_seqlen_k) const {
  const auto with_inputs = [&](int64_t inputs) {
    Matrix matrix = like;
    matrix.stored.inputs = matrix.int8.inputs = inputs;
    return matrix;
  };
  const Matrix input = with_inputs(std::max(shape_.hidden, shape_.q_width())), inner = with_inputs(intermediate);
  const int64_t chunk = std::min(tokens, gemm(input).chunk_tokens()), rows = gemm(input).panel_tokens();
  const auto product = [&](const Matrix& matrix, int64_t columns, int64_t together) {
    const int64_t stride = round_up(columns, gemm(matrix).nr());
    const int64_t panels = (chunk + rows - 1) / rows;
    return gemm(matrix).sum_floats(panels, together * stride) + gemm(matrix).scratch_floats(together * stride);
  };
  const int64_t scratch = std::max({product(input, head_columns(gemm(input)), 1),
                                    product(input, mlp_columns(gemm(input), inner), 2),
                                    product(inner, gemm(inner).columns(), 1),
                                    table_.attention_scratch(max_seqlen_k, shape_.head_dim,
                                                             gemm(input).attention_planes()),
                                    input.inputs()});
  return gemm(input).packed_bytes(chunk) + gemm(inner).packed_bytes(chunk) +
         pool_.threads() * scratch * static_cast<int64_t>(sizeof(float));
}

// x (tokens, inputs), rows `stride` apart; norm (inputs) or nullptr.
void TransformerCpu::pack(const Gemm& gemm, const float* x, int64_t stride, int64_t tokens, const float* norm) {
  input_.reserve(gemm, tokens);
  const int64_t rows = gemm.panel_tokens() * kPackPanels, inputs = gemm.inputs();
  pool_.run((tokens + rows - 1) / rows, [&](int64_t task, int64_t thread) {
    const int64_t start = now(), first = task * rows, here = std::min(rows, tokens - first);
    const float* from = x + first * stride;
    if (norm)
      input_.rmsnorm_pack(gemm, from, stride, first, here, norm, shape_.epsilon, scratch(thread, inputs));
    else
      input_.pack(gemm, from, stride, first, here, 0, inputs);
    clocks_[thread].spent.rest += now() - start;
  });
}

// Tasks of `width` outputs of a matrix, `together` matrices in each (1, or all of them).
// finish(range, first row, rows, sums, stride, between) takes what came out: rows are `stride` floats apart, and a matrix's
// sums `between` from those of the one before.
template <typename Finish>
void TransformerCpu::product(Packed& packed, const std::vector<const Matrix*>& matrices, int64_t width,
                             int64_t tokens, int64_t together, const Finish& finish) {
  std::vector<OutputRange> ranges;
  for (int64_t which = 0; which < static_cast<int64_t>(matrices.size()); which += together)
    for (int64_t first = 0; first < matrices[which]->outputs(); first += width)
      ranges.push_back({first, std::min(width, matrices[which]->outputs() - first), which});
  const Gemm any = gemm(*matrices[0]);
  const int64_t rows = any.panel_tokens(), panels = (tokens + rows - 1) / rows;
  // Where there are fewer ranges than threads want, the rows are cut as well.
  const int64_t wanted = 2 * pool_.threads(), number = static_cast<int64_t>(ranges.size());
  const int64_t cuts = std::max<int64_t>(1, std::min((wanted + number - 1) / number, panels / 8));
  const int64_t cut_panels = (panels + cuts - 1) / cuts;
  pool_.run(number * cuts, [&](int64_t task, int64_t thread) {
    const OutputRange& range = ranges[task / cuts];
    const int64_t first_panel = task % cuts * cut_panels, here = std::min(cut_panels, panels - first_panel);
    if (here <= 0) return;
    const int64_t columns = round_up(range.columns, any.nr()), sum_floats = any.sum_floats(here, together * columns);
    float* sums = scratch(thread, sum_floats + any.scratch_floats(together * columns));
    std::vector<Gemm> gemms;
    for (int64_t i = 0; i < together; i++) gemms.push_back(gemm(*matrices[range.which + i]));
    const int64_t start = now(), first_row = first_panel * rows;
    int64_t finishing = 0;
    packed.multiply(
        gemms, first_row, here, range.first, columns,
        [&](int64_t row, int64_t some, float* from, int64_t stride, int64_t between) {
          const int64_t began = now(), begin = first_row + row;
          finish(range, begin, std::min(some, tokens - begin), from, stride, between);
          finishing += now() - began;
        },
        sums, sums + sum_floats);
    clocks_[thread].spent.products += now() - start - finishing;
    clocks_[thread].spent.rest += finishing;
  });
}

void TransformerCpu::qkv_proj(const Layer& layer, const float* x, int64_t tokens, const float* cosines,
                              const float* sines, float* queries, float* keys, float* values) {
  const int64_t dim = shape_.head_dim, heads_per_kv = shape_.heads_per_kv;
  std::vector<const Matrix*> matrices;
  std::vector<float*> outs;
  if (queries) matrices.push_back(&layer.query), outs.push_back(queries);
  if (keys) {
    matrices.insert(matrices.end(), {&layer.key, &layer.value});
    outs.insert(outs.end(), {keys, values});
  }
  const Gemm gemm(table_, layer.query);
  const int64_t width = head_columns(gemm), chunk = gemm.chunk_tokens();
  const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int64_t first = 0; first < tokens; first += chunk) {
    const int64_t here = std::min(chunk, tokens - first);
    pack(gemm, x + first * shape_.hidden, shape_.hidden, here, layer.attention_norm);
    product(input_, matrices, width, here, 1,
            [&](const OutputRange& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
              const int64_t heads = range.columns / dim, token = first + row;
              const bool is_query = outs[range.which] == queries;
              for (int64_t h = 0; h < heads; h++) {
                const int64_t head = range.first / dim + h;
                float* to = outs[range.which];
                to += is_query ? ((head / heads_per_kv * tokens + token) * heads_per_kv + head % heads_per_kv) * dim
                               : (head * tokens + token) * dim;
                const int64_t step = is_query ? heads_per_kv * dim : dim, offset = 0;
                if (outs[range.which] == values)
                  for (int64_t r = 0; r < rows; r++)
                    memcpy(to + r * step, sums + r * stride + h * dim, dim * sizeof(float));
                else
                  table_.rmsnorm_rope(sums + h * dim, stride, rows, 1, dim, is_query ? layer.query_norm : layer.key_norm,
                                      shape_.epsilon, is_query ? factor : 1.0f, cosines + token * (dim / 2),
                                      sines + token * (dim / 2), to, step, &offset);
              }
            });
  }
}

void TransformerCpu::attention(const kernels::QueryBlock* query_blocks, const std::vector<int64_t>& work_items,
                               const kernels::KvRange* kv_ranges, int64_t layer, int64_t max_seqlen_k,
                               int64_t query_tokens, int64_t tokens, int64_t planes, const float* queries,
                               const float* keys, const float* values, float* out) {
  const int64_t heads = shape_.num_kv_heads;
  const int64_t floats = table_.attention_scratch(max_seqlen_k, shape_.head_dim, planes);
  const int64_t num_items = static_cast<int64_t>(work_items.size()) - 1;
  pool_.run(num_items * heads, [&](int64_t task, int64_t thread) {
    const int64_t start = now(), item = task / heads, first = work_items[item];
    table_.attention(query_blocks + first, work_items[item + 1] - first, kv_ranges, layer, task % heads, heads,
                     shape_.heads_per_kv, shape_.head_dim, query_tokens, tokens, planes, queries, keys, values, out,
                     scratch(thread, floats));
    clocks_[thread].spent.attention += now() - start;
  });
}

void TransformerCpu::output_and_mlp(const Layer& layer, float* x, const float* attn_out, int64_t tokens) {
  const int64_t hidden = shape_.hidden, attn_width = layer.output.inputs();
  const Gemm output(table_, layer.output), gate(table_, layer.gate), down(table_, layer.down);
  const int64_t chunk = output.chunk_tokens();
  for (int64_t first = 0; first < tokens; first += chunk) {
    const int64_t here = std::min(chunk, tokens - first);
    float* own = x + first * hidden;
    const auto add = [&](const OutputRange& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
      table_.add_residual(own + row * hidden + range.first, hidden, sums, stride, rows, range.columns);
    };
    pack(output, attn_out + first * attn_width, attn_width, here, nullptr);
    product(input_, {&layer.output}, output.columns(), here, 1, add);
    pack(gate, own, hidden, here, layer.mlp_norm);
    inner_.reserve(down, here);
    product(input_, {&layer.gate, &layer.up}, mlp_columns(gate, layer.down), here, 2,
            [&](const OutputRange& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t between) {
              table_.swiglu(sums, sums + between, stride, rows, round_up(range.columns, gate.nr()));
              inner_.pack(down, sums, stride, row, rows, range.first, range.columns);
            });
    product(inner_, {&layer.down}, down.columns(), here, 1, add);
  }
}

void TransformerCpu::multiply(const Matrix& matrix, const float* x, int64_t tokens, float* out) {
  const Gemm gemm(table_, matrix);
  const int64_t inputs = matrix.inputs(), outputs = matrix.outputs(), chunk = gemm.chunk_tokens();
  for (int64_t first = 0; first < tokens; first += chunk) {
    const int64_t here = std::min(chunk, tokens - first);
    pack(gemm, x + first * inputs, inputs, here, nullptr);
    product(input_, {&matrix}, gemm.columns(), here, 1,
            [&](const OutputRange& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
              for (int64_t r = 0; r < rows; r++)
                memcpy(out + (first + row + r) * outputs + range.first, sums + r * stride,
                       range.columns * sizeof(float));
            });
  }
}

void TransformerCpu::quantize_int8(const kernels::StoredMatrix& matrix, int64_t group, uint8_t* bytes, float* scales) {
  const int64_t panels = (matrix.outputs + kernels::kInt8NR - 1) / kernels::kInt8NR;
  pool_.run(panels,
            [&](int64_t panel, int64_t) { table_.quantize_int8(matrix, panel, panel + 1, group, bytes, scales); });
}

void TransformerCpu::repack_q8_0(const uint8_t* blocks, int64_t outputs, int64_t inputs, uint8_t* bytes,
                                 float* scales) {
  const int64_t panels = (outputs + kernels::kInt8NR - 1) / kernels::kInt8NR, groups = inputs / kQ8Group;
  pool_.run(panels, [&](int64_t panel, int64_t) {
    for (int64_t n = 0; n < kernels::kInt8NR; n++) {
      const int64_t output = panel * kernels::kInt8NR + n;
      for (int64_t g = 0; g < groups; g++) {
        // The last panel may have more outputs than the matrix: their weights are 0.
        const uint8_t* block = output < outputs ? blocks + (output * groups + g) * kQ8BlockBytes : nullptr;
        const int64_t panel_group = panel * groups + g;
        scales[panel_group * kernels::kInt8NR + n] = block ? kernels::f16_to_f32(block[0] | block[1] << 8) : 0.0f;
        uint8_t* to = bytes + panel_group * kQ8Group * kernels::kInt8NR + n * 4;
        // 128 means 0.
        for (int64_t k = 0; k < kQ8Group; k++)
          to[k / 4 * 4 * kernels::kInt8NR + k % 4] = block ? block[2 + k] ^ 0x80 : 0x80;
      }
    }
  });
}

}  // namespace transformer
