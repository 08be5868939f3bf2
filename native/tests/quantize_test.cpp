// Rounding to 8 bits, of weights and of activations.
#include <algorithm>
#include <cmath>

#include "bounded.h"
#include "check.h"
#include "samples.h"
#include "transformer/transformer_cpu.h"
#include "transformer/variants.h"

namespace {

using samples::Fenced;
using samples::HeldActivations;
using samples::Panels;
using samples::Random;
using samples::Weights;

VARIANT_PROPERTY("a quantized weight is the nearest step of its group's scale, and 0 beyond the matrix") {
  Random random(11);
  for (const kernels::DType dtype : samples::kDTypes)
    for (const int64_t group : {32, 64, 128, 512})
      for (const int64_t odd : {0, 1}) {
        const int64_t outputs = group == 64 ? 130 : 67, inputs = group == 64 ? 64 : group + (odd ? 17 : 29);
        Weights weights(dtype, outputs, inputs, random, odd);
        for (int64_t input = 0; input < inputs; input++) weights.put(1, input, 0.0f);
        weights.put(2, 3, -60.0f);
        weights.put(3, inputs - 1, 50.0f);
        Panels panels(table, weights, group);
        for (int64_t output = 0; output < panels.panels * kernels::kInt8NR; output++)
          for (int64_t input = 0; input < panels.groups * group; input++) {
            const int64_t first = input / group * group, last = std::min(inputs, first + group);
            float most = 0.0f;
            if (output < outputs)
              for (int64_t i = first; i < last; i++) most = std::max(most, std::fabs(weights.at(output, i)));
            check::near(panels.scale(output, input), most / 127.0f, 0.0, "scale of output %d, input %d", int(output),
                        int(input));
            const bool inside = output < outputs && input < inputs && most > 0.0f;
            const double place = inside ? 127.0 * weights.at(output, input) / most : 0.0;
            const double doubt = inside ? 0.5 + 127.0 * 3.0 * bounded::kUnit : 0.0;
            check::near(panels.byte(output, input) - 128, place, doubt, "dtype %d, group %d, output %d, input %d",
                        int(dtype), int(group), int(output), int(input));
          }
      }
}

VARIANT_PROPERTY("every variant quantizes to the same bytes, and panel by panel as all at once") {
  Random random(12);
  const kernels::KernelTable& other = *transformer::usable_variants().back();
  for (const kernels::DType dtype : samples::kDTypes)
    for (const int64_t group : samples::kGroups) {
      const Weights weights(dtype, 200, 171, random);
      const Panels expected(other, weights, group);
      Panels panels(200, 171, group);
      for (int64_t panel = panels.panels - 1; panel >= 0; panel--)
        table.quantize_int8(weights.stored(), panel, panel + 1, group, panels.bytes.data(), panels.scales.data());
      check::same_bits(panels.bytes.data(), expected.bytes.data(), panels.bytes.bytes(), "bytes in groups of %d",
                       int(group));
      check::same_bits(panels.scales.data(), expected.scales.data(), panels.scales.bytes(), "scales in groups of %d",
                       int(group));
    }
}

VARIANT_PROPERTY("rounded activations are the nearest steps of their group's scale, with offsets that undo the 128") {
  Random random(13);
  for (const int64_t planes : {1, 2})
    for (const int64_t group : {32, 64, 128, 512})
      for (const int64_t columns : {int64_t{1}, int64_t{31}, group, group + 3, 2 * group + group / 2})
        for (const int64_t rows : {1, 2, 5, 13}) {
          const int64_t stride = columns + 3;
          std::vector<float> numbers = random.numbers(rows * stride, 3.0f);
          numbers.resize((rows - 1) * stride + columns);
          numbers[columns / 2] = -40.0f;
          if (rows > 1) std::fill(numbers.begin() + stride, numbers.begin() + stride + columns, 0.0f);
          // Smaller than any activation: no step of theirs has an inverse.
          if (rows > 2)
            for (int64_t c = 0; c < columns; c++) numbers[2 * stride + c] *= 1e-38f;
          const Fenced<float> x(numbers);
          HeldActivations packed(table, rows, columns, group, planes);
          table.pack_int8(x.data(), stride, rows, columns, 0, group, packed.groups, planes, packed.all());
          const double steps = planes == 1 ? 127.0 : 127.0 * 256.0;
          for (int64_t row = 0; row < packed.tiles * packed.tile_rows; row++)
            for (int64_t input = 0; input < packed.groups * group; input++) {
              const bool inside = row < rows && input < columns;
              const double value = inside ? x[row * stride + input] : 0.0, scale = packed.scale(row, input);
              const double doubt = inside ? scale * (0.5 + 4.0 * steps * bounded::kUnit) + 1e-30 : 0.0;
              check::near(packed.at(row, input), value, doubt, "%d planes, group %d, %d columns, %d rows: row %d, input %d",
                          int(planes), int(group), int(columns), int(rows), int(row), int(input));
              if (input % group) continue;
              float most = 0.0f;
              if (row < rows)
                for (int64_t c = input; c < std::min(columns, input + group); c++)
                  most = std::max(most, std::fabs(x[row * stride + c]));
              check::near(scale, most / static_cast<float>(steps), 0.0, "scale of row %d, input %d", int(row), int(input));
              for (int64_t plane = 0; plane < planes; plane++) {
                int64_t sum = 0;
                for (int64_t i = input; i < input + group; i++) sum += packed.byte(row, i, plane);
                check::holds(packed.offset(row, input, plane) == -128 * sum, "offset of row %d, input %d, plane %d",
                             int(row), int(input), int(plane));
              }
            }
        }
}

VARIANT_PROPERTY("what lies in the middle of two steps goes to the even one") {
  const int64_t inputs = 64;
  Random random(16);
  for (const int64_t planes : {1, 2}) {
    const float most = planes == 1 ? 127.0f : 32512.0f;
    Weights weights(kernels::DType::kF32, 1, inputs, random);
    Fenced<float> x(inputs);
    for (int64_t input = 0; input < inputs; input++) {
      x[input] = input == 0 ? most : input - 30.5f;
      weights.put(0, input, input == 0 ? 127.0f : input - 30.5f);
    }
    HeldActivations packed(table, 1, inputs, inputs, planes);
    table.pack_int8(x.data(), inputs, 1, inputs, 0, inputs, 1, planes, packed.all());
    Panels panels(table, weights, inputs);
    for (int64_t input = 1; input < inputs; input++) {
      check::near(packed.steps(0, input), std::nearbyint(x[input]), 0.0, "activation %g", x[input]);
      check::near(panels.byte(0, input) - 128, std::nearbyint(x[input]), 0.0, "weight %g", x[input]);
    }
  }
}

VARIANT_PROPERTY("columns rounded part by part are the columns rounded at once, and others stay as they are") {
  Random random(14);
  for (const int64_t planes : {1, 2})
    for (const int64_t group : samples::kGroups) {
      const int64_t columns = 3 * group + 17, rows = 7;
      const Fenced<float> x(random.numbers(rows * columns));
      HeldActivations all(table, rows, columns, group, planes), parts(table, rows, columns, group, planes);
      table.pack_int8(x.data(), columns, rows, columns, 0, group, all.groups, planes, all.all());
      table.pack_int8(x.data() + group, columns, rows, columns - group, group, group, all.groups, planes, parts.all());
      for (int64_t row = 0; row < rows; row++)
        for (int64_t input = 0; input < group; input++)
          check::holds(parts.byte(row, input, 0) == -1, "row %d, input %d", int(row), int(input));
      table.pack_int8(x.data(), columns, rows, group, 0, group, all.groups, planes, parts.all());
      check::same_bits(parts.bytes.data(), all.bytes.data(), all.bytes.bytes(), "bytes");
      check::same_bits(parts.scales.data(), all.scales.data(), all.scales.bytes(), "scales");
      check::same_bits(parts.offsets.data(), all.offsets.data(), all.offsets.bytes(), "offsets");
    }
}

VARIANT_PROPERTY("rounding after the norm has the bits of the norm and then the rounding") {
  Random random(15);
  for (const int64_t planes : {1, 2})
    for (const int64_t columns : {40, 128, 300})
      for (const int64_t rows : {1, 4, 9}) {
        const int64_t group = 64, stride = columns + 1;
        const Fenced<float> x(random.numbers(rows * stride)), weight(random.numbers(columns));
        Fenced<float> normed(rows * columns), scratch(columns);
        HeldActivations together(table, rows, columns, group, planes), apart(table, rows, columns, group, planes);
        table.rmsnorm_pack_int8(x.data(), stride, rows, columns, weight.data(), 1e-6f, group, together.groups, planes,
                         together.all(), scratch.data());
        table.rmsnorm(x.data(), stride, rows, columns, weight.data(), 1e-6f, normed.data());
        table.pack_int8(normed.data(), columns, rows, columns, 0, group, apart.groups, planes, apart.all());
        check::same_bits(together.bytes.data(), apart.bytes.data(), apart.bytes.bytes(), "bytes");
        check::same_bits(together.scales.data(), apart.scales.data(), apart.scales.bytes(), "scales");
        check::same_bits(together.offsets.data(), apart.offsets.data(), apart.offsets.bytes(), "offsets");
      }
}

PROPERTY("blocks of Q8_0 keep their integers and scales, and what is beyond the matrix is zero") {
  Random random(14);
  const int64_t outputs = 67, inputs = 96;
  std::vector<uint8_t> numbers(outputs * (inputs / 32) * 34);
  for (uint8_t& each : numbers) each = static_cast<uint8_t>(random.between(0, 255));
  const Fenced<uint8_t> blocks(numbers);
  Panels panels(outputs, inputs, 32);
  const kernels::KernelTable& table = *transformer::usable_variants().back();
  transformer::TransformerCpu model(table, transformer::Shape{inputs, 1, 1, 8, 1e-6f}, 2);
  model.repack_q8_0(blocks.data(), outputs, inputs, panels.bytes.data(), panels.scales.data());
  for (int64_t output = 0; output < panels.panels * kernels::kInt8NR; output++)
    for (int64_t input = 0; input < inputs; input++) {
      const uint8_t* block = numbers.data() + (output * (inputs / 32) + input / 32) * 34;
      const bool inside = output < outputs;
      check::holds(panels.byte(output, input) - 128 == (inside ? static_cast<int8_t>(block[2 + input % 32]) : 0),
                   "output %d, input %d", int(output), int(input));
      const float scale = inside ? samples::half_value(block[0] | block[1] << 8) : 0.0f;
      check::near(panels.scale(output, input), scale, 0.0, "scale of output %d, input %d", int(output), int(input));
    }
}

}  // namespace
