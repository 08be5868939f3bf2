// Rounding to 8 bits, of weights and of activations.
#include <algorithm>
#include <cmath>

#include "bounded.h"
#include "check.h"
#include "engine/variants.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::HeldDigits;
using samples::Panels;
using samples::Random;
using samples::Weights;

VARIANT_PROPERTY("a quantised weight is the nearest step of its group's scale, and 0 beyond the matrix") {
  Random random(11);
  for (const kernels::Storage storage : samples::kStorages)
    for (const int64_t group : {32, 64, 128, 512})
      for (const int64_t odd : {0, 1}) {
        const int64_t outputs = group == 64 ? 130 : 67, inputs = group == 64 ? 64 : group + (odd ? 17 : 29);
        Weights weights(storage, outputs, inputs, random, odd);
        for (int64_t input = 0; input < inputs; input++) weights.put(1, input, 0.0f);
        weights.put(2, 3, -60.0f);
        weights.put(3, inputs - 1, 50.0f);
        Panels panels(table, weights, group);
        for (int64_t output = 0; output < panels.panels * kernels::kPanelOutputs; output++)
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
            check::near(panels.byte(output, input) - 128, place, doubt, "storage %d, group %d, output %d, input %d",
                        int(storage), int(group), int(output), int(input));
          }
      }
}

VARIANT_PROPERTY("every variant quantises to the same bytes, and panel by panel as all at once") {
  Random random(12);
  const kernels::Table& other = *engine::usable_variants().back();
  for (const kernels::Storage storage : samples::kStorages)
    for (const int64_t group : samples::kGroups) {
      const Weights weights(storage, 200, 171, random);
      const Panels expected(other, weights, group);
      Panels panels(200, 171, group);
      for (int64_t panel = panels.panels - 1; panel >= 0; panel--)
        table.quantise(weights.stored(), panel, panel + 1, group, panels.bytes.data(), panels.scales.data());
      check::same_bits(panels.bytes.data(), expected.bytes.data(), panels.bytes.bytes(), "bytes in groups of %d",
                       int(group));
      check::same_bits(panels.scales.data(), expected.scales.data(), panels.scales.bytes(), "scales in groups of %d",
                       int(group));
    }
}

VARIANT_PROPERTY("rounded activations are the nearest steps of their group's scale, with offsets that undo the 128") {
  Random random(13);
  for (const int64_t digits : {1, 2})
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
          HeldDigits packed(table, rows, columns, group, digits);
          table.round(x.data(), stride, rows, columns, 0, group, packed.groups, digits, packed.all());
          const double steps = digits == 1 ? 127.0 : 127.0 * 256.0;
          for (int64_t row = 0; row < packed.tiles * packed.tile_rows; row++)
            for (int64_t input = 0; input < packed.groups * group; input++) {
              const bool inside = row < rows && input < columns;
              const double value = inside ? x[row * stride + input] : 0.0, scale = packed.scale(row, input);
              const double doubt = inside ? scale * (0.5 + 4.0 * steps * bounded::kUnit) + 1e-30 : 0.0;
              check::near(packed.at(row, input), value, doubt, "%d digits, group %d, %d columns, %d rows: row %d, input %d",
                          int(digits), int(group), int(columns), int(rows), int(row), int(input));
              if (input % group) continue;
              float most = 0.0f;
              if (row < rows)
                for (int64_t c = input; c < std::min(columns, input + group); c++)
                  most = std::max(most, std::fabs(x[row * stride + c]));
              check::near(scale, most / static_cast<float>(steps), 0.0, "scale of row %d, input %d", int(row), int(input));
              for (int64_t digit = 0; digit < digits; digit++) {
                int64_t sum = 0;
                for (int64_t i = input; i < input + group; i++) sum += packed.byte(row, i, digit);
                check::holds(packed.offset(row, input, digit) == -128 * sum, "offset of row %d, input %d, digit %d",
                             int(row), int(input), int(digit));
              }
            }
        }
}

VARIANT_PROPERTY("what lies in the middle of two steps goes to the even one") {
  const int64_t inputs = 64;
  Random random(16);
  for (const int64_t digits : {1, 2}) {
    const float most = digits == 1 ? 127.0f : 32512.0f;
    Weights weights(kernels::Storage::kFloat32, 1, inputs, random);
    Fenced<float> x(inputs);
    for (int64_t input = 0; input < inputs; input++) {
      x[input] = input == 0 ? most : input - 30.5f;
      weights.put(0, input, input == 0 ? 127.0f : input - 30.5f);
    }
    HeldDigits packed(table, 1, inputs, inputs, digits);
    table.round(x.data(), inputs, 1, inputs, 0, inputs, 1, digits, packed.all());
    Panels panels(table, weights, inputs);
    for (int64_t input = 1; input < inputs; input++) {
      check::near(packed.whole(0, input), std::nearbyint(x[input]), 0.0, "activation %g", x[input]);
      check::near(panels.byte(0, input) - 128, std::nearbyint(x[input]), 0.0, "weight %g", x[input]);
    }
  }
}

VARIANT_PROPERTY("columns rounded part by part are the columns rounded at once, and others stay as they are") {
  Random random(14);
  for (const int64_t digits : {1, 2})
    for (const int64_t group : samples::kGroups) {
      const int64_t columns = 3 * group + 17, rows = 7;
      const Fenced<float> x(random.numbers(rows * columns));
      HeldDigits all(table, rows, columns, group, digits), parts(table, rows, columns, group, digits);
      table.round(x.data(), columns, rows, columns, 0, group, all.groups, digits, all.all());
      table.round(x.data() + group, columns, rows, columns - group, group, group, all.groups, digits, parts.all());
      for (int64_t row = 0; row < rows; row++)
        for (int64_t input = 0; input < group; input++)
          check::holds(parts.byte(row, input, 0) == -1, "row %d, input %d", int(row), int(input));
      table.round(x.data(), columns, rows, group, 0, group, all.groups, digits, parts.all());
      check::same_bits(parts.bytes.data(), all.bytes.data(), all.bytes.bytes(), "bytes");
      check::same_bits(parts.scales.data(), all.scales.data(), all.scales.bytes(), "scales");
      check::same_bits(parts.offsets.data(), all.offsets.data(), all.offsets.bytes(), "offsets");
    }
}

VARIANT_PROPERTY("rounding after the norm has the bits of the norm and then the rounding") {
  Random random(15);
  for (const int64_t digits : {1, 2})
    for (const int64_t columns : {40, 128, 300})
      for (const int64_t rows : {1, 4, 9}) {
        const int64_t group = 64, stride = columns + 1;
        const Fenced<float> x(random.numbers(rows * stride)), weight(random.numbers(columns));
        Fenced<float> normed(rows * columns), scratch(columns);
        HeldDigits together(table, rows, columns, group, digits), apart(table, rows, columns, group, digits);
        table.norm_round(x.data(), stride, rows, columns, weight.data(), 1e-6f, group, together.groups, digits,
                         together.all(), scratch.data());
        table.rms_norm(x.data(), stride, rows, columns, weight.data(), 1e-6f, normed.data());
        table.round(normed.data(), columns, rows, columns, 0, group, apart.groups, digits, apart.all());
        check::same_bits(together.bytes.data(), apart.bytes.data(), apart.bytes.bytes(), "bytes");
        check::same_bits(together.scales.data(), apart.scales.data(), apart.scales.bytes(), "scales");
        check::same_bits(together.offsets.data(), apart.offsets.data(), apart.offsets.bytes(), "offsets");
      }
}

}  // namespace
