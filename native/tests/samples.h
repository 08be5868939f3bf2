// What the tests compute with: memory that ends where it ends, numbers at random, and weights as files hold them.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace samples {

// Values that end at a page nobody may touch, so that one read too many ends the program, in any build and under any
// emulator; writes before the first value are found in the end. Begins with NaN in floats, -1 in integers.
template <typename Value>
class Fenced {
 public:
  explicit Fenced(int64_t size) : size_(size) {
    const int64_t page = sysconf(_SC_PAGESIZE), bytes = size * sizeof(Value);
    length_ = (bytes + kMargin + page - 1) / page * page + page;
    void* pages = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) abort();
    pages_ = static_cast<uint8_t*>(pages);
    memset(pages_, 0xff, length_ - page);
    if (mprotect(pages_ + length_ - page, page, PROT_NONE) != 0) abort();
    values_ = reinterpret_cast<Value*>(pages_ + length_ - page - bytes);
  }
  Fenced(const std::vector<Value>& values) : Fenced(values.size()) {
    for (int64_t i = 0; i < size_; i++) values_[i] = values[i];
  }
  ~Fenced() {
    for (const uint8_t* each = pages_; each < reinterpret_cast<uint8_t*>(values_); each++)
      if (*each != 0xff) {
        printf("a kernel wrote before its array\n");
        fflush(stdout);
        abort();
      }
    munmap(pages_, length_);
  }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  Value* data() { return values_; }
  const Value* data() const { return values_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * sizeof(Value); }
  Value& operator[](int64_t i) { return values_[i]; }
  const Value& operator[](int64_t i) const { return values_[i]; }

 private:
  static constexpr int64_t kMargin = 64;
  int64_t size_, length_;
  uint8_t* pages_;
  Value* values_;
};

// The same numbers in every run and on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  // first <= integer <= last
  int64_t between(int64_t first, int64_t last) { return first + engine_() % (last - first + 1); }
  float within(float most) { return most * (static_cast<float>(engine_() >> 40) / 8388608.0f - 1.0f); }
  std::vector<float> numbers(int64_t count, float most = 1.0f) {
    std::vector<float> all(count);
    for (float& each : all) each = within(most);
    return all;
  }

 private:
  std::mt19937_64 engine_;
};

float from_bits(uint32_t bits);
// The value of a half-precision number, from its definition.
float half_value(uint16_t bits);
uint32_t bits_of(float value);
constexpr float kNan = __builtin_nanf("");
constexpr float kInfinity = __builtin_inff();

// A weight matrix in its stored form, and what it holds.
class Weights {
 public:
  // `odd` bytes follow the last value, so that values lie where no float would.
  Weights(kernels::DType dtype, int64_t outputs, int64_t inputs, Random& random, int64_t odd = 0);

  kernels::StoredMatrix stored() const { return {bytes_.data(), dtype_, outputs_, inputs_}; }
  float at(int64_t output, int64_t input) const { return values_[output * inputs_ + input]; }
  void put(int64_t output, int64_t input, float value);
  const float* row(int64_t output) const { return values_.data() + output * inputs_; }
  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }

 private:
  kernels::DType dtype_;
  int64_t outputs_, inputs_;
  Fenced<uint8_t> bytes_;
  std::vector<float> values_;
};

// An 8-bit matrix that owns its arrays, and what it holds.
class Panels {
 public:
  Panels(int64_t outputs, int64_t inputs, int64_t group);
  // As `table` quantises them.
  Panels(const kernels::KernelTable& table, const Weights& weights, int64_t group);

  kernels::Int8Matrix matrix() const { return {bytes.data(), scales.data(), outputs, inputs, group}; }
  uint8_t& byte(int64_t output, int64_t input);
  float& scale(int64_t output, int64_t input);
  double at(int64_t output, int64_t input);

  const int64_t outputs, inputs, group, groups, panels;
  Fenced<uint8_t> bytes;
  Fenced<float> scales;
};

// Activations in 8 bits that own their arrays, and what they hold.
class HeldActivations {
 public:
  HeldActivations(const kernels::KernelTable& table, int64_t rows, int64_t inputs, int64_t group, int64_t planes);

  kernels::Int8Activations all() { return {bytes.data(), scales.data(), offsets.data()}; }
  int8_t& byte(int64_t row, int64_t input, int64_t plane);
  float& scale(int64_t row, int64_t input);
  int32_t& offset(int64_t row, int64_t input, int64_t plane);
  // The value in steps of the scale.
  int64_t steps(int64_t row, int64_t input);
  double at(int64_t row, int64_t input) { return static_cast<double>(scale(row, input)) * steps(row, input); }

  const int64_t int8_mr, planes, tile_rows, tiles, group, groups;
  Fenced<int8_t> bytes;
  Fenced<float> scales;
  Fenced<int32_t> offsets;
};

// Of a weight matrix.
struct Shape {
  int64_t inputs, outputs;
};

inline int64_t round_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

constexpr kernels::DType kDTypes[] = {kernels::DType::kBF16, kernels::DType::kF16,
                                          kernels::DType::kF32};
constexpr int64_t kGroups[] = {32, 64, 128};

// Bytes of scratch that gemm_f32 or gemm_int8 may use.
int64_t gemm_scratch(const kernels::KernelTable& table, int64_t group);

}  // namespace samples
