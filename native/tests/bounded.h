// Naive arithmetic in double precision that keeps count of what float32 may make of it: a value and a bound on the
// distance of any float32 evaluation from it, whatever order it adds in and whether or not it fuses its multiplications.
#pragma once

#include <cstdint>
#include <vector>

namespace bounded {

// The largest relative error of one float32 operation, and the largest error where results are too small for that.
constexpr double kUnit = 5.9604644775390625e-8;      // 2^-24
constexpr double kSmallestNormal = 1.1754943508222875e-38;  // 2^-126
constexpr double kSmallest = 1.4012984643248171e-45;  // 2^-149

struct Number {
  double value = 0.0;
  double bound = 0.0;

  Number() = default;
  Number(double exact) : value(exact) {}  // NOLINT: numbers without error are the common case
  Number(double value, double bound) : value(value), bound(bound) {}
};

using Numbers = std::vector<Number>;

Number operator+(Number x, Number y);
Number operator-(Number x, Number y);
Number operator*(Number x, Number y);
Number operator/(Number x, Number y);
Number root(Number x);
// As kernels/exponential.h promises: within two units in the last place, 0 and infinity from its bounds on.
Number exponential(Number x);
// Sums of many, each rounded after every addition.
Number sum(const Numbers& x);
Number dot(const Number* x, const Number* y, int64_t count);
Number dot(const Numbers& x, const Numbers& y);

Numbers exact(const float* from, int64_t count);

// The parts of a layer.
Numbers rms_norm(const Numbers& x, const float* weight, float epsilon);
Numbers rotate(const Numbers& x, const float* cosines, const float* sines, float factor);
Number swiglu(Number gate, Number up);
// Of one query over the keys and values that it sees. planes: of bfloat16 in its products, 0 for float32
Numbers attention(const float* query, const std::vector<const float*>& keys, const std::vector<const float*>& values,
                  int64_t head_dim, int64_t planes = 0);
// Values rounded to `planes` bytes in groups. Where the bound leaves open which step is nearest, it grows by one step.
Numbers rounded(const Numbers& x, int64_t group, int64_t planes);
// Values as the nearest numbers of bfloat16. Where the bound leaves open which one that is, it grows by a step.
Numbers rounded_to_bf16(const Numbers& x);
double nearest_bf16(double x);

}  // namespace bounded
