#include "samples.h"

#include <algorithm>
#include <cmath>

namespace samples {
namespace {

int64_t stored_width(kernels::Storage storage) { return storage == kernels::Storage::kFloat32 ? 4 : 2; }

// The value of a half-precision number, from its definition.
float half_value(uint16_t bits) {
  const int sign = bits >> 15, exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction ? kNan : kInfinity)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>(sign ? -magnitude : magnitude);
}

uint16_t half_bits(float value) {
  if (std::isnan(value)) return 0x7e00;
  // The nearest number below, which is all that samples need.
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  uint16_t low = 0, high = 0x7c00;
  while (high - low > 1) {
    const uint16_t middle = (low + high) / 2;
    (half_value(middle) <= std::fabs(value) ? low : high) = middle;
  }
  return sign | (half_value(high) <= std::fabs(value) ? high : low);
}

}  // namespace

float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

Weights::Weights(kernels::Storage storage, int64_t outputs, int64_t inputs, Random& random, int64_t odd)
    : storage_(storage),
      outputs_(outputs),
      inputs_(inputs),
      bytes_(outputs * inputs * stored_width(storage) + odd),
      values_(outputs * inputs) {
  for (int64_t output = 0; output < outputs; output++)
    for (int64_t input = 0; input < inputs; input++) put(output, input, random.within(1.0f));
}

void Weights::put(int64_t output, int64_t input, float value) {
  const int64_t place = output * inputs_ + input;
  uint8_t* to = bytes_.data() + place * stored_width(storage_);
  float held = value;
  if (storage_ == kernels::Storage::kFloat32) {
    memcpy(to, &value, 4);
  } else {
    const bool half = storage_ == kernels::Storage::kFloat16;
    const uint16_t bits = half ? half_bits(value) : static_cast<uint16_t>(bits_of(value) >> 16);
    memcpy(to, &bits, 2);
    held = half ? half_value(bits) : from_bits(static_cast<uint32_t>(bits) << 16);
  }
  values_[place] = held;
}

Panels::Panels(int64_t outputs, int64_t inputs, int64_t group)
    : outputs(outputs),
      inputs(inputs),
      group(group),
      groups((inputs + group - 1) / group),
      panels((outputs + kernels::kPanelOutputs - 1) / kernels::kPanelOutputs),
      bytes(panels * groups * group * kernels::kPanelOutputs),
      scales(panels * groups * kernels::kPanelOutputs) {}

Panels::Panels(const kernels::Table& table, const Weights& weights, int64_t group)
    : Panels(weights.outputs(), weights.inputs(), group) {
  table.quantise(weights.stored(), 0, panels, group, bytes.data(), scales.data());
}

uint8_t& Panels::byte(int64_t output, int64_t input) {
  const int64_t panel = output / kernels::kPanelOutputs, place = output % kernels::kPanelOutputs;
  const int64_t four = (panel * groups * group + input) / 4;
  return bytes[(four * kernels::kPanelOutputs + place) * 4 + input % 4];
}

float& Panels::scale(int64_t output, int64_t input) {
  const int64_t panel = output / kernels::kPanelOutputs, place = output % kernels::kPanelOutputs;
  return scales[(panel * groups + input / group) * kernels::kPanelOutputs + place];
}

double Panels::at(int64_t output, int64_t input) {
  return static_cast<double>(scale(output, input)) * (byte(output, input) - 128);
}

HeldDigits::HeldDigits(const kernels::Table& table, int64_t rows, int64_t inputs, int64_t group, int64_t digits)
    : digit_rows(table.digit_rows),
      digits(digits),
      tile_rows(table.digit_rows / digits),
      tiles((rows + tile_rows - 1) / tile_rows),
      group(group),
      groups((inputs + group - 1) / group),
      bytes(tiles * groups * group * digit_rows),
      scales(tiles * groups * tile_rows),
      offsets(tiles * groups * digit_rows) {}

int8_t& HeldDigits::byte(int64_t row, int64_t input, int64_t digit) {
  const int64_t four = (row / tile_rows * groups * group + input) / 4;
  return bytes[(four * digit_rows + row % tile_rows * digits + digit) * 4 + input % 4];
}

float& HeldDigits::scale(int64_t row, int64_t input) {
  return scales[(row / tile_rows * groups + input / group) * tile_rows + row % tile_rows];
}

int32_t& HeldDigits::offset(int64_t row, int64_t input, int64_t digit) {
  return offsets[(row / tile_rows * groups + input / group) * digit_rows + row % tile_rows * digits + digit];
}

int64_t HeldDigits::whole(int64_t row, int64_t input) {
  return digits == 1 ? byte(row, input, 0) : 256 * byte(row, input, 0) + byte(row, input, 1);
}

int64_t product_scratch(const kernels::Table& table, int64_t group) {
  return std::max<int64_t>(table.float_columns * kernels::kFloatDepth * 4, 128 * std::max<int64_t>(256, group));
}

}  // namespace samples
