#include "engine/network.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>

namespace engine {
namespace {

// Tokens that one product takes at once: enough to repay the widening of weights, few enough for second-level caches.
constexpr int64_t kStripTokens = 512;
// Tiles of activations that one task of packing takes.
constexpr int64_t kPackTiles = 4;

int64_t whole(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Network::Network(const kernels::Table& table, const Shape& shape, int64_t threads)
    : table_(table), shape_(shape), pool_(threads), scratch_(pool_.threads()), clocks_(pool_.threads()) {}

Spent Network::spent() const {
  Spent total;
  for (const Clock& clock : clocks_) {
    total.products += clock.spent.products;
    total.attention += clock.spent.attention;
    total.rows += clock.spent.rows;
  }
  return total;
}

float* Network::scratch(int64_t thread, int64_t floats) {
  std::vector<float>& own = scratch_[thread];
  if (static_cast<int64_t>(own.size()) < floats) own.resize(floats);
  return own.data();
}

int64_t Network::panel(const Matrix& matrix) const {
  return matrix.in_panels ? kernels::kPanelOutputs : table_.float_columns;
}

// Tokens in a tile of activations.
int64_t Network::tile_rows(const Matrix& matrix) const {
  return matrix.in_panels ? table_.digit_rows / matrix.digits : table_.float_rows;
}

int64_t Network::groups(const Matrix& matrix) const {
  return (matrix.panels.inputs + matrix.panels.group - 1) / matrix.panels.group;
}

void Network::make_room(Packed& packed, const Matrix& matrix, int64_t tokens) const {
  const auto grow = [](auto& vector, int64_t size) {
    if (static_cast<int64_t>(vector.size()) < size) vector.resize(size);
  };
  const int64_t tiles = whole(tokens, tile_rows(matrix)) / tile_rows(matrix);
  if (matrix.in_panels) {
    const int64_t blocks = tiles * groups(matrix);
    grow(packed.bytes, blocks * matrix.panels.group * table_.digit_rows);
    grow(packed.scales, blocks * table_.digit_rows);
    grow(packed.offsets, blocks * table_.digit_rows);
  } else {
    grow(packed.floats, tiles * table_.float_rows * matrix.stored.inputs);
  }
}

// The digits from a row on that begins a tile.
kernels::Digits Network::digits(Packed& packed, const Matrix& matrix, int64_t first_row) const {
  const int64_t blocks = first_row / tile_rows(matrix) * groups(matrix);
  return {packed.bytes.data() + blocks * matrix.panels.group * table_.digit_rows,
          packed.scales.data() + blocks * tile_rows(matrix), packed.offsets.data() + blocks * table_.digit_rows};
}

void Network::pack(Packed& packed, const Matrix& matrix, const float* x, int64_t stride, int64_t tokens,
                   const float* norm) {
  make_room(packed, matrix, tokens);
  const int64_t rows = tile_rows(matrix) * kPackTiles, inputs = matrix.inputs();
  pool_.run((tokens + rows - 1) / rows, [&](int64_t task, int64_t thread) {
    const int64_t start = now(), first = task * rows, here = std::min(rows, tokens - first);
    const float* from = x + first * stride;
    float* row = scratch(thread, inputs);
    if (matrix.in_panels) {
      const kernels::Digits out = digits(packed, matrix, first);
      const int64_t group = matrix.panels.group;
      if (norm)
        table_.norm_round(from, stride, here, inputs, norm, shape_.epsilon, group, groups(matrix), matrix.digits, out,
                          row);
      else
        table_.round(from, stride, here, inputs, 0, group, groups(matrix), matrix.digits, out);
    } else {
      float* out = packed.floats.data() + first * inputs;
      if (norm)
        table_.norm_pack(from, stride, here, inputs, norm, shape_.epsilon, out, row);
      else
        table_.pack(from, stride, here, inputs, 0, inputs, out);
    }
    clocks_[thread].spent.rows += now() - start;
  });
}

// Tasks of `widths[i]` columns of matrix i, `together` matrices side by side in each (1, or all of them).
// finish(range, first row, rows, sums, stride, size) takes what came out: `size` floats a matrix, `stride` a row.
template <typename Finish>
void Network::product(const Packed& packed, const Matrix* const* matrices, int64_t count, const int64_t* widths,
                      int64_t tokens, int64_t together, const Finish& finish) {
  std::vector<Range> ranges;
  for (int64_t which = 0; which < count; which += together)
    for (int64_t first = 0; first < matrices[which]->outputs(); first += widths[which])
      ranges.push_back({first, std::min(widths[which], matrices[which]->outputs() - first), which});
  const Matrix& any = *matrices[0];
  const int64_t rows = tile_rows(any), tiles = (tokens + rows - 1) / rows;
  // Where there are fewer ranges than threads want, the rows are cut as well.
  const int64_t wanted = 2 * pool_.threads(), number = static_cast<int64_t>(ranges.size());
  const int64_t cuts = std::max<int64_t>(1, std::min((wanted + number - 1) / number, tiles / 8));
  const int64_t cut_tiles = (tiles + cuts - 1) / cuts;
  pool_.run(number * cuts, [&](int64_t task, int64_t thread) {
    const Range& range = ranges[task / cuts];
    const int64_t first_tile = task % cuts * cut_tiles, here = std::min(cut_tiles, tiles - first_tile);
    if (here <= 0) return;
    const int64_t stride = whole(range.columns, panel(any)), size = here * rows * stride;
    const int64_t floats = std::max(kernels::kFloatDepth * table_.float_columns,
                                    kernels::kPanelOutputs * std::max<int64_t>(256, any.panels.group) / 2);
    float* sums = scratch(thread, together * size + floats);
    const int64_t start = now();
    for (int64_t i = 0; i < together; i++) {
      const Matrix& matrix = *matrices[range.which + i];
      float* out = sums + i * size;
      if (matrix.in_panels) {
        const kernels::Digits from = digits(const_cast<Packed&>(packed), matrix, first_tile * rows);
        table_.multiply_digits(from, here, matrix.digits, matrix.panels, range.first, stride, out, stride,
                               sums + together * size);
      } else {
        const float* from = packed.floats.data() + first_tile * rows * matrix.stored.inputs;
        table_.multiply_float(from, here, matrix.stored, range.first, stride, out, stride, sums + together * size);
      }
    }
    const int64_t between = now();
    const int64_t first_row = first_tile * rows;
    finish(range, first_row, std::min(here * rows, tokens - first_row), sums, stride, size);
    clocks_[thread].spent.products += between - start;
    clocks_[thread].spent.rows += now() - between;
  });
}

void Network::project(const Layer& layer, const float* x, int64_t tokens, const float* cosines, const float* sines,
                      float* queries, float* keys, float* values) {
  const int64_t dim = shape_.head_dim, repeats = shape_.repeats;
  // A task takes whole heads and whole panels.
  const int64_t width = std::lcm(dim, panel(layer.query));
  const Matrix* matrices[3];
  float* outs[3];
  int64_t count = 0;
  if (queries) matrices[count] = &layer.query, outs[count++] = queries;
  if (keys) {
    matrices[count] = &layer.key, outs[count++] = keys;
    matrices[count] = &layer.value, outs[count++] = values;
  }
  const int64_t widths[3] = {width, width, width};
  const float factor = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int64_t first = 0; first < tokens; first += kStripTokens) {
    const int64_t here = std::min(kStripTokens, tokens - first);
    pack(input_, layer.query, x + first * shape_.hidden, shape_.hidden, here, layer.attention_norm);
    product(input_, matrices, count, widths, here, 1,
            [&](const Range& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
              const int64_t heads = range.columns / dim, token = first + row;
              const bool asks = outs[range.which] == queries;
              for (int64_t h = 0; h < heads; h++) {
                const int64_t head = range.first / dim + h;
                float* to = outs[range.which];
                to += asks ? ((head / repeats * tokens + token) * repeats + head % repeats) * dim
                           : (head * tokens + token) * dim;
                const int64_t step = asks ? repeats * dim : dim, offset = 0;
                if (outs[range.which] == values)
                  for (int64_t r = 0; r < rows; r++)
                    memcpy(to + r * step, sums + r * stride + h * dim, dim * sizeof(float));
                else
                  table_.norm_rotate(sums + h * dim, stride, rows, 1, dim, asks ? layer.query_norm : layer.key_norm,
                                     shape_.epsilon, asks ? factor : 1.0f, cosines + token * (dim / 2),
                                     sines + token * (dim / 2), to, step, &offset);
              }
            });
  }
}

void Network::attend(const kernels::Piece* pieces, const int64_t* tasks, int64_t num_tasks, const kernels::Run* runs,
                     int64_t longest, int64_t query_tokens, int64_t tokens, const float* queries,
                     const float* keys, const float* values, float* mixed) {
  const int64_t heads = shape_.key_value_heads, floats = table_.attend_scratch(longest, shape_.head_dim);
  pool_.run(num_tasks * heads, [&](int64_t task, int64_t thread) {
    const int64_t start = now(), which = task / heads, first = tasks[which];
    table_.attend(pieces + first, tasks[which + 1] - first, runs, task % heads, heads, shape_.repeats,
                  shape_.head_dim, query_tokens, tokens, queries, keys, values, mixed, scratch(thread, floats));
    clocks_[thread].spent.attention += now() - start;
  });
}

void Network::finish(const Layer& layer, float* x, const float* mixed, int64_t tokens) {
  const int64_t hidden = shape_.hidden, mixed_width = layer.output.inputs();
  const Matrix* output[1] = {&layer.output};
  const Matrix* gates[2] = {&layer.gate, &layer.up};
  const Matrix* down[1] = {&layer.down};
  const int64_t output_width[1] = {2 * panel(layer.output)}, down_width[1] = {2 * panel(layer.down)};
  // Whole panels that give whole groups of the next product's inputs.
  const int64_t gate_width = layer.down.in_panels ? std::lcm(panel(layer.gate), layer.down.panels.group)
                                                  : 2 * panel(layer.gate);
  const int64_t gate_widths[2] = {gate_width, gate_width};
  for (int64_t first = 0; first < tokens; first += kStripTokens) {
    const int64_t here = std::min(kStripTokens, tokens - first);
    float* own = x + first * hidden;
    const auto add = [&](const Range& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
      table_.add_rows(own + row * hidden + range.first, hidden, sums, stride, rows, range.columns);
    };
    pack(input_, layer.output, mixed + first * mixed_width, mixed_width, here, nullptr);
    product(input_, output, 1, output_width, here, 1, add);
    pack(input_, layer.gate, own, hidden, here, layer.mlp_norm);
    make_room(inner_, layer.down, here);
    product(input_, gates, 2, gate_widths, here, 2,
            [&](const Range& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t size) {
              table_.gated(sums, sums + size, stride, rows, stride);
              const Matrix& next = layer.down;
              if (next.in_panels)
                table_.round(sums, stride, rows, range.columns, range.first, next.panels.group, groups(next),
                             next.digits, digits(inner_, next, row));
              else
                table_.pack(sums, stride, rows, range.columns, range.first, next.stored.inputs,
                            inner_.floats.data() + row * next.stored.inputs);
            });
    product(inner_, down, 1, down_width, here, 1, add);
  }
}

void Network::multiply(const Matrix& matrix, const float* x, int64_t tokens, float* out) {
  const Matrix* matrices[1] = {&matrix};
  const int64_t width[1] = {2 * panel(matrix)}, inputs = matrix.inputs(), outputs = matrix.outputs();
  for (int64_t first = 0; first < tokens; first += kStripTokens) {
    const int64_t here = std::min(kStripTokens, tokens - first);
    pack(input_, matrix, x + first * inputs, inputs, here, nullptr);
    product(input_, matrices, 1, width, here, 1,
            [&](const Range& range, int64_t row, int64_t rows, float* sums, int64_t stride, int64_t) {
              for (int64_t r = 0; r < rows; r++)
                memcpy(out + (first + row + r) * outputs + range.first, sums + r * stride,
                       range.columns * sizeof(float));
            });
  }
}

void Network::quantise(const kernels::StoredMatrix& matrix, int64_t group, uint8_t* bytes, float* scales) {
  const int64_t panels = (matrix.outputs + kernels::kPanelOutputs - 1) / kernels::kPanelOutputs;
  pool_.run(panels, [&](int64_t panel, int64_t) { table_.quantise(matrix, panel, panel + 1, group, bytes, scales); });
}

}  // namespace engine
