// Work on rows between the products: norms, rotary positions, SwiGLU, adding and packing.
#include <cmath>

#include "bounded.h"
#include "check.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::Random;

constexpr float kEpsilon = 1e-6f;

VARIANT_PROPERTY("a normed row has a root mean square of 1 times its weights; zeros stay zeros; NaN and infinity show") {
  Random random(21);
  for (const int64_t columns : {1, 3, 8, 17, 48, 64, 129, 1024, 1037})
    for (const int64_t rows : {1, 2, 7}) {
      const int64_t stride = columns + 2;
      const Fenced<float> weight(random.numbers(columns));
      Fenced<float> x(random.numbers((rows - 1) * stride + columns, 5.0f)), out(rows * columns);
      if (rows > 1)
        for (int64_t c = 0; c < columns; c++) x[stride + c] = 0.0f;
      if (rows > 3) x[2 * stride] = samples::kInfinity, x[3 * stride + columns - 1] = samples::kNan;
      table.rmsnorm(x.data(), stride, rows, columns, weight.data(), kEpsilon, out.data());
      for (int64_t row = 0; row < rows; row++) {
        const bool poisoned = rows > 3 && (row == 2 || row == 3);
        const bounded::Numbers expected =
            bounded::rms_norm(bounded::exact(x.data() + row * stride, columns), weight.data(), kEpsilon);
        for (int64_t c = 0; c < columns; c++) {
          const float actual = out[row * columns + c];
          if (!poisoned)
            check::near(actual, expected[c].value, expected[c].bound, "%d columns, row %d, column %d", int(columns),
                        int(row), int(c));
          else if (row == 3 || c == 0)
            check::holds(std::isnan(actual), "%d columns, row %d, column %d", int(columns), int(row), int(c));
          else
            check::holds(actual == 0.0f, "%d columns, row %d, column %d", int(columns), int(row), int(c));
        }
      }
    }
}

VARIANT_PROPERTY("the norm's epsilon counts where rows are small") {
  Random random(27);
  const int64_t columns = 37;
  for (const float size : {1e-1f, 1e-3f, 1e-4f, 1e-20f}) {
    const Fenced<float> weight(random.numbers(columns)), x(random.numbers(columns, size));
    Fenced<float> out(columns);
    table.rmsnorm(x.data(), columns, 1, columns, weight.data(), kEpsilon, out.data());
    const bounded::Numbers expected = bounded::rms_norm(bounded::exact(x.data(), columns), weight.data(), kEpsilon);
    for (int64_t c = 0; c < columns; c++)
      check::near(out[c], expected[c].value, expected[c].bound, "numbers up to %g, column %d", size, int(c));
  }
}

VARIANT_PROPERTY("packing puts every number where the product looks for it and zeros in the rows beyond") {
  Random random(22);
  for (int64_t rows = 1; rows <= 25; rows++)
    for (const int64_t columns : {1, 13, 32}) {
      const int64_t first = 5, depth = first + columns + 2, stride = columns + 1;
      const int64_t tiles = (rows + table.f32_mr - 1) / table.f32_mr;
      std::vector<float> numbers = random.numbers(rows * stride);
      numbers.pop_back();
      const Fenced<float> x(numbers);
      Fenced<float> packed(tiles * table.f32_mr * depth);
      table.pack_f32(x.data(), stride, rows, columns, first, depth, packed.data());
      for (int64_t row = 0; row < tiles * table.f32_mr; row++)
        for (int64_t c = 0; c < depth; c++) {
          const float actual = packed[(row / table.f32_mr * depth + c) * table.f32_mr + row % table.f32_mr];
          const bool inside = c >= first && c < first + columns;
          const float expected = !inside ? samples::kNan : row < rows ? x[row * stride + c - first] : 0.0f;
          check::near(actual, expected, 0.0, "%d rows, %d columns: row %d, column %d", int(rows), int(columns),
                      int(row), int(c));
        }
    }
}

VARIANT_PROPERTY("packing after the norm has the bits of the norm and then the packing") {
  Random random(23);
  for (const int64_t rows : {1, 6, 13})
    for (const int64_t columns : {5, 48, 101}) {
      const int64_t stride = columns + 3, tiles = (rows + table.f32_mr - 1) / table.f32_mr;
      const Fenced<float> x(random.numbers(rows * stride)), weight(random.numbers(columns));
      Fenced<float> normed(rows * columns), scratch(columns);
      Fenced<float> together(tiles * table.f32_mr * columns), apart(tiles * table.f32_mr * columns);
      table.rmsnorm_pack_f32(x.data(), stride, rows, columns, weight.data(), kEpsilon, together.data(), scratch.data());
      table.rmsnorm(x.data(), stride, rows, columns, weight.data(), kEpsilon, normed.data());
      table.pack_f32(normed.data(), columns, rows, columns, 0, columns, apart.data());
      check::same_bits(together.data(), apart.data(), apart.bytes(), "%d rows, %d columns", int(rows), int(columns));
    }
}

VARIANT_PROPERTY("adding rows adds each number once and touches nothing between the rows") {
  Random random(24);
  for (const int64_t columns : {1, 7, 16, 33, 70})
    for (const int64_t rows : {1, 2, 5}) {
      const int64_t to_stride = columns + 5, from_stride = columns + 2;
      const std::vector<float> before = random.numbers((rows - 1) * to_stride + columns);
      const Fenced<float> from(random.numbers((rows - 1) * from_stride + columns));
      Fenced<float> to(before);
      table.add_residual(to.data(), to_stride, from.data(), from_stride, rows, columns);
      for (int64_t i = 0; i < to.size(); i++) {
        const int64_t row = i / to_stride, c = i % to_stride;
        const float expected = c < columns ? before[i] + from[row * from_stride + c] : before[i];
        check::near(to[i], expected, 0.0, "%d columns, row %d, column %d", int(columns), int(row), int(c));
      }
    }
}

VARIANT_PROPERTY("SwiGLU is x / (1 + exp(-x)) times the other, from the smallest to the largest x") {
  Random random(25);
  const int64_t columns = 96, rows = 60, stride = columns + 16;
  Fenced<float> gate(random.numbers((rows - 1) * stride + columns)), up(random.numbers((rows - 1) * stride + columns, 3.0f));
  for (int64_t row = 0; row < rows; row++)
    for (int64_t c = 0; c < columns; c++) {
      // Sizes from 1e-12 to 200.
      float& x = gate[row * stride + c];
      x = row == 0 ? 2.0f * c - 100.0f : x * static_cast<float>(200.0 * std::pow(0.6, static_cast<double>(row)));
    }
  gate[0] = samples::kInfinity, gate[1] = samples::kNan, gate[2] = -3e38f, gate[3] = 0.0f, gate[4] = 3e38f;
  gate[5] = 1.0f, up[5] = samples::kNan, gate[6] = 1.0f, up[6] = -samples::kInfinity;
  up[0] = 2.0f, up[4] = 0.5f;
  std::vector<bounded::Number> expected(gate.size());
  for (int64_t i = 0; i < gate.size(); i++) expected[i] = bounded::swiglu(gate[i], up[i]);
  expected[0] = samples::kInfinity, expected[1] = samples::kNan, expected[5] = samples::kNan;
  expected[6] = -samples::kInfinity;
  const float between = gate[columns];
  table.swiglu(gate.data(), up.data(), stride, rows, columns);
  for (int64_t row = 0; row < rows; row++)
    for (int64_t c = 0; c < columns; c++) {
      const int64_t i = row * stride + c;
      check::near(gate[i], expected[i].value, expected[i].bound, "row %d, column %d", int(row), int(c));
    }
  check::near(gate[columns], between, 0.0, "between the rows");
}

VARIANT_PROPERTY("each head is normed and rotated by its token's angles, and is written where the caller says") {
  Random random(26);
  for (const int64_t head_dim : {2, 8, 24, 64, 80, 128})
    for (const int64_t heads : {1, 3}) {
      const int64_t rows = 5, half = head_dim / 2, stride = heads * head_dim + 3, row_step = heads * head_dim + 4;
      const Fenced<float> x(random.numbers((rows - 1) * stride + heads * head_dim, 4.0f));
      const Fenced<float> weight(random.numbers(head_dim));
      Fenced<float> cosines(rows * half), sines(rows * half), out((rows - 1) * row_step + heads * head_dim);
      for (int64_t i = 0; i < rows * half; i++) {
        const double angle = random.within(3.0f);
        cosines[i] = static_cast<float>(std::cos(angle)), sines[i] = static_cast<float>(std::sin(angle));
      }
      Fenced<int64_t> offsets(heads);
      // The heads in reverse.
      for (int64_t head = 0; head < heads; head++) offsets[head] = (heads - 1 - head) * head_dim;
      const float factor = 0.3f;
      table.rmsnorm_rope(x.data(), stride, rows, heads, head_dim, weight.data(), kEpsilon, factor, cosines.data(),
                        sines.data(), out.data(), row_step, offsets.data());
      for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < heads; head++) {
          const bounded::Numbers normed = bounded::rms_norm(
              bounded::exact(x.data() + row * stride + head * head_dim, head_dim), weight.data(), kEpsilon);
          const bounded::Numbers expected =
              bounded::rotate(normed, cosines.data() + row * half, sines.data() + row * half, factor);
          for (int64_t e = 0; e < head_dim; e++)
            check::near(out[row * row_step + offsets[head] + e], expected[e].value, expected[e].bound,
                        "dimension %d of %d, row %d, head %d", int(e), int(head_dim), int(row), int(head));
        }
        for (int64_t c = heads * head_dim; c < row_step && row + 1 < rows; c++)
          check::holds(std::isnan(out[row * row_step + c]), "between the rows");
      }
    }
}

}  // namespace
