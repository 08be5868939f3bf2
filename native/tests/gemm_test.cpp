// The two matrix products, against sums in double precision.
#include <algorithm>
#include <cmath>

#include "bounded.h"
#include "check.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::HeldActivations;
using samples::Panels;
using samples::Random;
using samples::round_up;
using samples::Shape;
using samples::Weights;

constexpr int64_t kMostRows = 25;

// A product of `rows` rows in float32, columns first..first+columns, in an array of its own.
struct F32Gemm {
  F32Gemm(const kernels::KernelTable& table, const std::vector<float>& x, int64_t rows, const Weights& weights,
               int64_t first, int64_t columns)
      : tiles((rows + table.f32_mr - 1) / table.f32_mr),
        stride(round_up(columns, table.f32_nr)),
        out(tiles * table.f32_mr * stride) {
    const int64_t inputs = weights.inputs();
    const Fenced<float> from(std::vector<float>(x.begin(), x.begin() + rows * inputs));
    Fenced<float> packed(tiles * table.f32_mr * inputs), scratch(table.f32_nr * kernels::kF32KC);
    table.pack_f32(from.data(), inputs, rows, inputs, 0, inputs, packed.data());
    table.gemm_f32(packed.data(), tiles, weights.stored(), first, columns, out.data(), stride, scratch.data());
  }
  const float* row(int64_t row) const { return out.data() + row * stride; }

  int64_t tiles, stride;
  Fenced<float> out;
};

VARIANT_PROPERTY("a float product is the sum of its terms, whatever the shape, the storage and where bytes begin") {
  Random random(1);
  for (const Shape shape : {Shape{1, 1}, {7, 5}, {16, 32}, {33, 65}, {224, 16}, {225, 31}, {461, 33}})
    for (const kernels::DType dtype : samples::kDTypes)
      for (const int64_t odd : {0, 1, 3}) {
        const Weights weights(dtype, shape.outputs, shape.inputs, random, odd);
        const std::vector<float> x = random.numbers(kMostRows * shape.inputs);
        const F32Gemm product(table, x, kMostRows, weights, 0, shape.outputs);
        for (int64_t row = 0; row < kMostRows; row++) {
          const bounded::Numbers from = bounded::exact(x.data() + row * shape.inputs, shape.inputs);
          for (int64_t output = 0; output < shape.outputs; output++) {
            const bounded::Number expected = bounded::dot(from, bounded::exact(weights.row(output), shape.inputs));
            check::near(product.row(row)[output], expected.value, expected.bound,
                        "%d inputs, %d outputs, dtype %d, row %d, output %d", int(shape.inputs), int(shape.outputs),
                        int(dtype), int(row), int(output));
          }
          for (int64_t output = shape.outputs; output < product.stride; output++)
            check::near(product.row(row)[output], 0.0, 0.0, "output %d beyond the matrix", int(output));
        }
      }
}

VARIANT_PROPERTY("a float product gives a row the same bits with any other rows, and a column with any other columns") {
  Random random(2);
  for (const Shape shape : {Shape{37, 70}, {300, 100}}) {
    const Weights weights(kernels::DType::kBF16, shape.outputs, shape.inputs, random);
    const std::vector<float> x = random.numbers(kMostRows * shape.inputs);
    const F32Gemm all(table, x, kMostRows, weights, 0, shape.outputs);
    for (int64_t rows = 1; rows <= kMostRows; rows++) {
      // The last `rows` rows, so that each comes to every place of a tile.
      const std::vector<float> last(x.end() - rows * shape.inputs, x.end());
      const F32Gemm some(table, last, rows, weights, 0, shape.outputs);
      for (int64_t row = 0; row < rows; row++)
        check::same_bits(some.row(row), all.row(kMostRows - rows + row), shape.outputs * sizeof(float),
                         "row %d of %d rows", int(row), int(rows));
    }
    for (int64_t first = 0; first < shape.outputs; first += table.f32_nr)
      for (const int64_t columns : {table.f32_nr, table.f32_nr + 1, shape.outputs - first}) {
        const int64_t here = std::min(columns, shape.outputs - first);
        const F32Gemm some(table, x, kMostRows, weights, first, here);
        for (int64_t row = 0; row < kMostRows; row++)
          check::same_bits(some.row(row), all.row(row) + first, here * sizeof(float), "columns from %d, row %d",
                           int(first), int(row));
      }
  }
}

VARIANT_PROPERTY("a float product writes no further than its columns and leaves the rest of its rows alone") {
  Random random(3);
  const int64_t inputs = 40, outputs = table.f32_nr + 3, stride = 2 * table.f32_nr + 5;
  const int64_t rows = table.f32_mr + 1, tiles = 2;
  const Weights weights(kernels::DType::kF32, outputs, inputs, random);
  const Fenced<float> x(random.numbers(rows * inputs));
  Fenced<float> packed(tiles * table.f32_mr * inputs), scratch(table.f32_nr * kernels::kF32KC);
  Fenced<float> out(tiles * table.f32_mr * stride);
  table.pack_f32(x.data(), inputs, rows, inputs, 0, inputs, packed.data());
  table.gemm_f32(packed.data(), tiles, weights.stored(), 0, outputs, out.data(), stride, scratch.data());
  for (int64_t row = 0; row < tiles * table.f32_mr; row++)
    for (int64_t column = 0; column < stride; column++)
      check::holds(std::isnan(out[row * stride + column]) == (column >= 2 * table.f32_nr), "row %d, column %d",
                   int(row), int(column));
}

VARIANT_PROPERTY("a float product carries infinity, NaN and the smallest numbers of each storage") {
  Random random(4);
  for (const kernels::DType dtype : samples::kDTypes) {
    const int64_t inputs = 9, outputs = 12;
    Weights weights(dtype, outputs, inputs, random);
    const bool half = dtype == kernels::DType::kF16;
    const float smallest = half ? 5.9604645e-8f : 1.1754944e-38f;
    const float special[outputs] = {samples::kInfinity, -samples::kInfinity, samples::kNan, smallest, -smallest, 0.0f,
                                    half ? 65504.0f : 3.3895314e38f,        -0.0f,        3 * smallest,
                                    half ? 6.1e-5f : 2.0e-38f,              -1.0f,        half ? 6.0e-5f : 1.5e-38f};
    for (int64_t output = 0; output < outputs; output++)
      for (int64_t input = 0; input < inputs; input++) weights.put(output, input, input == 8 ? special[output] : 0.0f);
    std::vector<float> x(2 * inputs, 1.0f);
    x[inputs + 3] = samples::kNan;
    const F32Gemm product(table, x, 2, weights, 0, outputs);
    for (int64_t output = 0; output < outputs; output++) {
      check::near(product.row(0)[output], weights.at(output, 8), 0.0, "dtype %d, weight %g", int(dtype),
                  special[output]);
      check::near(product.row(1)[output], samples::kNan, 0.0, "dtype %d, NaN in the row", int(dtype));
    }
  }
}

// An 8-bit product of `rows` rows, columns first..first+columns.
struct Int8Gemm {
  Int8Gemm(const kernels::KernelTable& table, HeldActivations& x, const Panels& panels, int64_t first, int64_t columns)
      : stride(round_up(columns, kernels::kInt8NR)), out(x.tiles * x.tile_rows * stride) {
    Fenced<uint8_t> scratch(samples::gemm_scratch(table, panels.group));
    table.gemm_int8(x.all(), x.tiles, x.planes, panels.matrix(), first, stride, out.data(), stride,
                          scratch.data());
  }
  const float* row(int64_t row) const { return out.data() + row * stride; }

  int64_t stride;
  Fenced<float> out;
};

void check_int8_gemm(const kernels::KernelTable& table, HeldActivations& x, Panels& panels, int64_t rows) {
  const Int8Gemm product(table, x, panels, 0, panels.outputs);
  const int64_t group = panels.group, padded = panels.groups * group;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t output = 0; output < product.stride; output++) {
      double expected = 0.0, magnitude = 0.0;
      for (int64_t first = 0; first < padded; first += group) {
        // Whole numbers below 2^53, so exact.
        int64_t sum = 0;
        for (int64_t input = first; input < first + group; input++)
          sum += x.steps(row, input) * (panels.byte(output, input) - 128);
        const double term = static_cast<double>(sum) * panels.scale(output, first) * x.scale(row, first);
        expected += term, magnitude += std::fabs(term);
      }
      // Each term is rounded when it becomes a float and when it is scaled, each partial sum once.
      const double bound = (panels.groups + 4) * bounded::kUnit * magnitude;
      check::near(product.row(row)[output], expected, bound,
                  "%d planes, group %d, %d inputs, %d outputs, row %d, output %d", int(x.planes), int(group),
                  int(panels.inputs), int(panels.outputs), int(row), int(output));
    }
}

VARIANT_PROPERTY("an 8-bit product is the exact sum of each group, scaled, whatever the shape") {
  Random random(5);
  for (const int64_t planes : {1, 2})
    for (const int64_t group : samples::kGroups)
      for (const Shape shape : {Shape{1, 1}, {31, 63}, {64, 64}, {100, 65}, {300, 130}, {650, 20}}) {
        const Weights weights(kernels::DType::kBF16, shape.outputs, shape.inputs, random);
        Panels panels(table, weights, group);
        for (const int64_t rows : {int64_t{1}, kMostRows}) {
          if (rows > 1 && shape.inputs > 300) continue;
          HeldActivations x(table, rows, shape.inputs, group, planes);
          const Fenced<float> from(random.numbers(rows * shape.inputs));
          table.pack_int8(from.data(), shape.inputs, rows, shape.inputs, 0, group, panels.groups, planes, x.all());
          check_int8_gemm(table, x, panels, rows);
        }
      }
}

VARIANT_PROPERTY("an 8-bit product is exact at the largest sums that 8 bits can make") {
  for (const int64_t planes : {1, 2})
    for (const int64_t group : samples::kGroups)
      for (const int high : {-127, 127})
        for (const int low : {-128, 127})
          for (const int byte : {0, 1, 255, 256}) {  // 256 stands for 1 and 255 by turns
            const int64_t inputs = 2 * group, rows = table.int8_mr / planes;
            Panels panels(kernels::kInt8NR, inputs, group);
            HeldActivations x(table, rows, inputs, group, planes);
            for (int64_t input = 0; input < inputs; input++) {
              for (int64_t output = 0; output < panels.outputs; output++) {
                panels.byte(output, input) = byte < 256 ? byte : (input + output) % 2 ? 1 : 255;
                panels.scale(output, input) = 0.5f;
              }
              for (int64_t row = 0; row < rows; row++) {
                x.byte(row, input, 0) = byte == 256 && input % 2 ? -high : high;
                if (planes == 2) x.byte(row, input, 1) = low;
                x.scale(row, input) = 0.25f;
              }
            }
            for (int64_t row = 0; row < rows; row++)
              for (int64_t input = 0; input < inputs; input += group)
                for (int64_t plane = 0; plane < planes; plane++) {
                  int32_t sum = 0;
                  for (int64_t i = input; i < input + group; i++) sum += x.byte(row, i, plane);
                  x.offset(row, input, plane) = -128 * sum;
                }
            check_int8_gemm(table, x, panels, rows);
          }
}

VARIANT_PROPERTY("an 8-bit product gives a row the same bits with any other rows, and a panel with any other panels") {
  Random random(6);
  const int64_t inputs = 330, outputs = 150;
  for (const int64_t planes : {1, 2})
    for (const int64_t group : samples::kGroups) {
      const Weights weights(kernels::DType::kF16, outputs, inputs, random);
      const Panels panels(table, weights, group);
      const std::vector<float> numbers = random.numbers(kMostRows * inputs);
      const auto product = [&](int64_t rows, int64_t first, int64_t columns) {
        const Fenced<float> from(std::vector<float>(numbers.end() - rows * inputs, numbers.end()));
        HeldActivations x(table, rows, inputs, group, planes);
        table.pack_int8(from.data(), inputs, rows, inputs, 0, group, panels.groups, planes, x.all());
        return Int8Gemm(table, x, panels, first, columns);
      };
      const Int8Gemm all = product(kMostRows, 0, outputs);
      for (int64_t rows = 1; rows < kMostRows; rows++) {
        const Int8Gemm some = product(rows, 0, outputs);
        for (int64_t row = 0; row < rows; row++)
          check::same_bits(some.row(row), all.row(kMostRows - rows + row), outputs * sizeof(float),
                           "%d planes, row %d of %d rows", int(planes), int(row), int(rows));
      }
      for (int64_t first = 0; first < outputs; first += kernels::kInt8NR) {
        const Int8Gemm some = product(kMostRows, first, kernels::kInt8NR);
        for (int64_t row = 0; row < kMostRows; row++)
          check::same_bits(some.row(row), all.row(row) + first, kernels::kInt8NR * sizeof(float),
                           "%d planes, columns from %d, row %d", int(planes), int(first), int(row));
      }
    }
}

VARIANT_PROPERTY("infinity or NaN among a row's numbers or a matrix's weights makes NaN of what it meets, in 8 bits too") {
  Random random(7);
  for (const int64_t planes : {1, 2})
    for (const float poison : {samples::kInfinity, -samples::kInfinity, samples::kNan, -samples::kNan})
      for (int64_t place = 0; place < 64; place += 7) {
        const int64_t inputs = 100, outputs = 66, rows = 3, group = 32;
        Weights weights(kernels::DType::kF32, outputs, inputs, random);
        weights.put(65, place, poison);
        const Panels panels(table, weights, group);
        Fenced<float> from(random.numbers(rows * inputs));
        from[inputs + place] = poison;
        HeldActivations x(table, rows, inputs, group, planes);
        table.pack_int8(from.data(), inputs, rows, inputs, 0, group, panels.groups, planes, x.all());
        const Int8Gemm product(table, x, panels, 0, outputs);
        for (int64_t row = 0; row < rows; row++)
          for (int64_t output = 0; output < outputs; output++)
            check::holds(std::isnan(product.row(row)[output]) == (row == 1 || output == 65),
                         "%g at %d: row %d, output %d", poison, int(place), int(row), int(output));
      }
}

}  // namespace
