// The product in bfloat16, against sums in double precision, and tiles against their definition.
#include <algorithm>
#include <cmath>

#include "bounded.h"
#include "check.h"
#include "emulated_tiles.h"
#include "samples.h"
#include "transformer/variants.h"

namespace {

using samples::Fenced;
using samples::Panels;
using samples::Random;
using samples::round_up;
using samples::Shape;
using samples::Weights;

constexpr int64_t kMostRows = 35;

std::vector<int64_t> planes_of(const kernels::KernelTable& table) {
  return table.bf16.float32_planes ? std::vector<int64_t>{1, table.bf16.float32_planes}
                                    : std::vector<int64_t>{1};
}

// Activations in micropanels.
struct Activations {
  Activations(const kernels::KernelTable& table, const float* x, int64_t rows, int64_t inputs, int64_t planes)
      : panels((rows + table.bf16.mr - 1) / table.bf16.mr),
        planes(planes),
        bytes(panels * table.bf16.panel_bytes(inputs, planes)) {
    const Fenced<float> from(std::vector<float>(x, x + rows * inputs));
    table.bf16.pack(from.data(), inputs, rows, inputs, 0, inputs, planes, bytes.data());
  }

  int64_t panels, planes;
  Fenced<uint8_t> bytes;
};

// The product by columns first..first+columns of a matrix, `repeats` times side by side.
struct Gemm {
  template <typename Matrix, typename Multiply>
  Gemm(const kernels::KernelTable& table, const Activations& x, const Matrix& matrix, int64_t first, int64_t columns,
       Multiply multiply, int64_t repeats = 1)
      : stride(repeats * round_up(columns, table.bf16.nr)), mr(table.bf16.mr), out(x.panels * mr * stride) {
    Fenced<uint8_t> scratch(table.bf16.scratch_bytes(matrix.inputs, stride));
    Fenced<float> sums(table.bf16.sum_panels(matrix.inputs, x.panels) * mr * stride);
    const std::vector<const Matrix*> matrices(repeats, &matrix);
    const kernels::RowsDone done{[](void* context, int64_t first_panel, int64_t panels, float* from) {
                                   Gemm& own = *static_cast<Gemm*>(context);
                                   memcpy(own.out.data() + first_panel * own.mr * own.stride, from,
                                          panels * own.mr * own.stride * sizeof(float));
                                 },
                                 this};
    multiply(x.bytes.data(), x.panels, x.planes, matrices.data(), repeats, first, stride / repeats, done, sums.data(),
             scratch.data());
  }
  const float* row(int64_t row) const { return out.data() + row * stride; }

  int64_t stride, mr;
  Fenced<float> out;
};

// The terms of a row: the numbers of each plane, as they are multiplied.
bounded::Numbers terms(const float* x, int64_t inputs, int64_t planes) {
  bounded::Numbers all;
  for (int64_t input = 0; input < inputs; input++) {
    double rest = x[input];
    for (int64_t plane = 0; plane < planes; plane++) {
      all.push_back(bounded::nearest_bf16(rest));
      rest -= all.back().value;
    }
  }
  return all;
}

// Smaller than this counts as zero.
constexpr double kFlushed = 1.1754944e-38;

template <typename WeightAt>
void check_rows(const Gemm& product, const std::vector<float>& x, int64_t rows, Shape shape, int64_t planes,
                const WeightAt& weight_at) {
  for (int64_t output = 0; output < shape.outputs; output++) {
    bounded::Numbers weights;
    for (int64_t input = 0; input < shape.inputs; input++)
      weights.insert(weights.end(), planes, bounded::nearest_bf16(weight_at(output, input)));
    for (int64_t row = 0; row < rows; row++) {
      const bounded::Number expected = bounded::dot(terms(x.data() + row * shape.inputs, shape.inputs, planes), weights);
      check::near(product.row(row)[output], expected.value, expected.bound + kFlushed * weights.size(),
                  "%d planes, %d inputs, %d outputs, row %d, output %d", int(planes), int(shape.inputs),
                  int(shape.outputs), int(row), int(output));
    }
  }
}

VARIANT_PROPERTY("a bfloat16 product is the sum of the terms of its planes, whatever the shape, the storage and where bytes begin") {
  Random random(51);
  for (const Shape shape : {Shape{1, 1}, {31, 5}, {32, 32}, {65, 33}, {225, 70}, {1057, 20}})
    for (const kernels::DType dtype : samples::kDTypes)
      for (const int64_t planes : planes_of(table)) {
        const int64_t rows = shape.inputs > 100 ? 3 : kMostRows;
        const Weights weights(dtype, shape.outputs, shape.inputs, random, 1);
        const std::vector<float> x = random.numbers(rows * shape.inputs);
        const Activations packed(table, x.data(), rows, shape.inputs, planes);
        const Gemm product(table, packed, weights.stored(), 0, shape.outputs, table.bf16.gemm);
        check_rows(product, x, rows, shape, planes,
                   [&](int64_t output, int64_t input) { return weights.at(output, input); });
        for (int64_t row = 0; row < rows; row++)
          for (int64_t output = shape.outputs; output < product.stride; output++)
            check::near(product.row(row)[output], 0.0, 0.0, "output %d beyond the matrix", int(output));
      }
}

VARIANT_PROPERTY("planes that stand for float32 are as exact as float32") {
  if (!table.bf16.float32_planes) return check::holds(true, "this variant multiplies float32 itself");
  Random random(52);
  const Shape shape{300, 40};
  const Weights weights(kernels::DType::kBF16, shape.outputs, shape.inputs, random);
  const std::vector<float> x = random.numbers(kMostRows * shape.inputs);
  const Activations packed(table, x.data(), kMostRows, shape.inputs, 3);
  const Gemm product(table, packed, weights.stored(), 0, shape.outputs, table.bf16.gemm);
  for (int64_t row = 0; row < kMostRows; row++)
    for (int64_t output = 0; output < shape.outputs; output++) {
      const bounded::Number expected = bounded::dot(bounded::exact(x.data() + row * shape.inputs, shape.inputs),
                                                    bounded::exact(weights.row(output), shape.inputs));
      check::near(product.row(row)[output], expected.value, expected.bound, "row %d, output %d", int(row), int(output));
    }
}

VARIANT_PROPERTY("a bfloat16 product gives a row the same bits with any other rows, and a column with any other columns") {
  Random random(53);
  for (const Shape shape : {Shape{37, 100}, {1100, 64}})
    for (const int64_t planes : planes_of(table)) {
      const Weights weights(kernels::DType::kBF16, shape.outputs, shape.inputs, random);
      const std::vector<float> x = random.numbers(kMostRows * shape.inputs);
      const auto product = [&](int64_t rows, int64_t first, int64_t columns) {
        const Activations packed(table, x.data() + (kMostRows - rows) * shape.inputs, rows, shape.inputs, planes);
        return Gemm(table, packed, weights.stored(), first, columns, table.bf16.gemm);
      };
      const Gemm all = product(kMostRows, 0, shape.outputs);
      for (int64_t rows = 1; rows <= kMostRows; rows += shape.inputs > 100 ? 11 : 1) {
        const Gemm some = product(rows, 0, shape.outputs);
        for (int64_t row = 0; row < rows; row++)
          check::same_bits(some.row(row), all.row(kMostRows - rows + row), shape.outputs * sizeof(float),
                           "%d planes, row %d of %d rows", int(planes), int(row), int(rows));
      }
      for (int64_t first = 0; first < shape.outputs; first += table.bf16.nr) {
        const int64_t here = std::min(table.bf16.nr, shape.outputs - first);
        const Gemm some = product(kMostRows, first, here);
        for (int64_t row = 0; row < kMostRows; row++)
          check::same_bits(some.row(row), all.row(row) + first, here * sizeof(float), "columns from %d, row %d",
                           int(first), int(row));
      }
    }
}

VARIANT_PROPERTY("a bfloat16 product by two matrices has the bits of each, with more rows than are held at once") {
  Random random(54);
  const int64_t rows = 160;
  for (const int64_t inputs : {40, 1100})
    for (const int64_t planes : planes_of(table)) {
      const Weights weights(kernels::DType::kF32, table.bf16.nr + 3, inputs, random);
      const Activations packed(table, random.numbers(rows * inputs).data(), rows, inputs, planes);
      const int64_t columns = 2 * table.bf16.nr;
      const Gemm one(table, packed, weights.stored(), 0, columns, table.bf16.gemm);
      const Gemm two(table, packed, weights.stored(), 0, columns, table.bf16.gemm, 2);
      for (int64_t row = 0; row < rows; row++)
        for (int64_t which = 0; which < 2; which++)
          check::same_bits(two.row(row) + which * columns, one.row(row), columns * sizeof(float),
                           "%d planes, %d inputs, row %d, matrix %d", int(planes), int(inputs), int(row), int(which));
    }
}

VARIANT_PROPERTY("infinity or NaN among a row's numbers or a matrix's weights stays visible in bfloat16") {
  Random random(55);
  for (const int64_t planes : planes_of(table))
    for (const float poison : {samples::kInfinity, -samples::kInfinity, samples::kNan, samples::from_bits(0x7fffffff)})
      for (int64_t place = 0; place < 64; place += 9) {
        const int64_t inputs = 70, outputs = 34, rows = 3;
        Weights weights(kernels::DType::kF32, outputs, inputs, random);
        weights.put(33, place, poison);
        std::vector<float> x = random.numbers(rows * inputs);
        x[inputs + place] = poison;
        const Activations packed(table, x.data(), rows, inputs, planes);
        const Gemm product(table, packed, weights.stored(), 0, outputs, table.bf16.gemm);
        for (int64_t row = 0; row < rows; row++)
          for (int64_t output = 0; output < outputs; output++)
            check::holds(std::isfinite(product.row(row)[output]) == (row != 1 && output != 33),
                         "%g at %d: row %d, output %d", poison, int(place), int(row), int(output));
      }
}

VARIANT_PROPERTY("weights of 8 bits in a bfloat16 product are their values, rounded to bfloat16") {
  if (!table.bf16.gemm_int8) return check::holds(true, "this variant has a product of 8 bits");
  Random random(56);
  for (const Shape shape : {Shape{1, 1}, {100, 65}, {300, 130}})
    for (const int64_t group : samples::kGroups) {
      const int64_t rows = 5;
      const Weights weights(kernels::DType::kBF16, shape.outputs, shape.inputs, random);
      Panels panels(table, weights, group);
      const std::vector<float> x = random.numbers(rows * shape.inputs);
      const Activations packed(table, x.data(), rows, shape.inputs, 1);
      const auto gemm_int8 = [&](const void* from, int64_t count, int64_t, auto... others) {
        table.bf16.gemm_int8(from, count, others...);
      };
      const Gemm product(table, packed, panels.matrix(), 0, shape.outputs, gemm_int8);
      check_rows(product, x, rows, shape, 1,
                 [&](int64_t output, int64_t input) { return static_cast<float>(panels.at(output, input)); });
    }
}

VARIANT_PROPERTY("tiles give the bits of their definition, for numbers of every size") {
  const kernels::KernelTable& defined = kernels::kEmulatedTiles;
  if (!table.bf16.float32_planes) return check::holds(true, "this variant has no tiles");
  Random random(57);
  const int64_t inputs = 96, outputs = 64, rows = 32;
  for (int64_t trial = 0; trial < 40; trial++) {
    // Bits at random are numbers of every size, infinity and NaN among them; the latter only in some trials.
    std::vector<float> x(rows * inputs);
    Weights weights(kernels::DType::kBF16, outputs, inputs, random);
    const int64_t exponents = trial % 4 == 0 ? 255 : 100 + trial;
    const auto number = [&] {
      return samples::from_bits(static_cast<uint32_t>(random.between(0, 1) << 31 | random.between(0, exponents) << 23 |
                                                      random.between(0, 127) << 16));
    };
    for (float& each : x) each = number();
    for (int64_t output = 0; output < outputs; output++)
      for (int64_t input = 0; input < inputs; input++) weights.put(output, input, number());
    const Activations packed(table, x.data(), rows, inputs, 1), as_defined(defined, x.data(), rows, inputs, 1);
    const Gemm product(table, packed, weights.stored(), 0, outputs, table.bf16.gemm);
    const Gemm expected(defined, as_defined, weights.stored(), 0, outputs, defined.bf16.gemm);
    for (int64_t row = 0; row < rows; row++)
      for (int64_t output = 0; output < outputs; output++) {
        const float actual = product.row(row)[output], same = expected.row(row)[output];
        check::holds(samples::bits_of(actual) == samples::bits_of(same) || (std::isnan(actual) && std::isnan(same)),
                     "trial %d, row %d, output %d: %g, not %g", int(trial), int(row), int(output), actual, same);
      }
  }
}

}  // namespace
