#include "samples.h"

#include <algorithm>
#include <cmath>

namespace samples {
namespace {

int64_t dtype_bytes(kernels::DType dtype) { return dtype == kernels::DType::kF32 ? 4 : 2; }

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

float half_value(uint16_t bits) {
  const int sign = bits >> 15, exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction ? kNan : kInfinity)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>(sign ? -magnitude : magnitude);
}

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

Weights::Weights(kernels::DType dtype, int64_t outputs, int64_t inputs, Random& random, int64_t odd)
    : dtype_(dtype),
      outputs_(outputs),
      inputs_(inputs),
      bytes_(outputs * inputs * dtype_bytes(dtype) + odd),
      values_(outputs * inputs) {
  for (int64_t output = 0; output < outputs; output++)
    for (int64_t input = 0; input < inputs; input++) put(output, input, random.within(1.0f));
}

void Weights::put(int64_t output, int64_t input, float value) {
  const int64_t place = output * inputs_ + input;
  uint8_t* to = bytes_.data() + place * dtype_bytes(dtype_);
  float held = value;
  if (dtype_ == kernels::DType::kF32) {
    memcpy(to, &value, 4);
  } else {
    const bool half = dtype_ == kernels::DType::kF16;
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
      panels((outputs + kernels::kInt8NR - 1) / kernels::kInt8NR),
      bytes(panels * groups * group * kernels::kInt8NR),
      scales(panels * groups * kernels::kInt8NR) {}

Panels::Panels(const kernels::KernelTable& table, const Weights& weights, int64_t group)
    : Panels(weights.outputs(), weights.inputs(), group) {
  table.quantize_int8(weights.stored(), 0, panels, group, bytes.data(), scales.data());
}

uint8_t& Panels::byte(int64_t output, int64_t input) {
  const int64_t panel = output / kernels::kInt8NR, place = output % kernels::kInt8NR;
  const int64_t four = (panel * groups * group + input) / 4;
  return bytes[(four * kernels::kInt8NR + place) * 4 + input % 4];
}

float& Panels::scale(int64_t output, int64_t input) {
  const int64_t panel = output / kernels::kInt8NR, place = output % kernels::kInt8NR;
  return scales[(panel * groups + input / group) * kernels::kInt8NR + place];
}

double Panels::at(int64_t output, int64_t input) {
  return static_cast<double>(scale(output, input)) * (byte(output, input) - 128);
}

HeldActivations::HeldActivations(const kernels::KernelTable& table, int64_t rows, int64_t inputs, int64_t group, int64_t planes)
    : int8_mr(table.int8_mr),
      planes(planes),
      tile_rows(table.int8_mr / planes),
      tiles((rows + tile_rows - 1) / tile_rows),
      group(group),
      groups((inputs + group - 1) / group),
      bytes(tiles * groups * group * int8_mr),
      scales(tiles * groups * tile_rows),
      offsets(tiles * groups * int8_mr) {}

int8_t& HeldActivations::byte(int64_t row, int64_t input, int64_t plane) {
  const int64_t four = (row / tile_rows * groups * group + input) / 4;
  return bytes[(four * int8_mr + row % tile_rows * planes + plane) * 4 + input % 4];
}

float& HeldActivations::scale(int64_t row, int64_t input) {
  return scales[(row / tile_rows * groups + input / group) * tile_rows + row % tile_rows];
}

int32_t& HeldActivations::offset(int64_t row, int64_t input, int64_t plane) {
  return offsets[(row / tile_rows * groups + input / group) * int8_mr + row % tile_rows * planes + plane];
}

int64_t HeldActivations::steps(int64_t row, int64_t input) {
  return planes == 1 ? byte(row, input, 0) : 256 * byte(row, input, 0) + byte(row, input, 1);
}

int64_t gemm_scratch(const kernels::KernelTable& table, int64_t group) {
  return std::max<int64_t>(table.f32_nr * kernels::kF32KC * 4, 128 * std::max<int64_t>(256, group));
}

}  // namespace samples
