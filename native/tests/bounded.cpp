#include "bounded.h"

#include <algorithm>
#include <cmath>

namespace bounded {
namespace {

// After one more rounding.
Number once(double value, double bound) { return {value, bound + (std::fabs(value) + bound) * kUnit + kSmallest}; }

double most(Number x) { return std::fabs(x.value) + x.bound; }

double product_bound(Number x, Number y) {
  return std::fabs(x.value) * y.bound + std::fabs(y.value) * x.bound + x.bound * y.bound;
}

}  // namespace

Number operator+(Number x, Number y) { return once(x.value + y.value, x.bound + y.bound); }
Number operator-(Number x, Number y) { return once(x.value - y.value, x.bound + y.bound); }
Number operator*(Number x, Number y) { return once(x.value * y.value, product_bound(x, y)); }

Number operator/(Number x, Number y) {
  const double least = std::fabs(y.value) - y.bound;
  const double bound = y.bound == 0.0 ? x.bound / std::fabs(y.value)
                                      : (x.bound + std::fabs(x.value / y.value) * y.bound) / std::max(least, 0.0);
  return once(x.value / y.value, bound);
}

Number root(Number x) {
  const double value = std::sqrt(x.value);
  return once(value, x.bound == 0.0 ? 0.0 : value - std::sqrt(std::max(x.value - x.bound, 0.0)));
}

Number exponential(Number x) {
  const double value = std::exp(x.value);
  return {value, value * std::expm1(x.bound) + value * std::exp(x.bound) * 4.0 * kUnit + kSmallestNormal};
}

Number sum(const Numbers& x) {
  double value = 0.0, bound = 0.0, magnitude = 0.0;
  for (Number each : x) value += each.value, bound += each.bound, magnitude += most(each);
  return {value, bound + x.size() * 1.01 * kUnit * magnitude};
}

Number dot(const Number* x, const Number* y, int64_t count) {
  double value = 0.0, bound = 0.0, magnitude = 0.0;
  for (int64_t i = 0; i < count; i++) {
    value += x[i].value * y[i].value;
    bound += product_bound(x[i], y[i]);
    magnitude += most(x[i]) * most(y[i]);
  }
  return {value, bound + (count + 1) * (1.01 * kUnit * magnitude + kSmallest)};
}

Number dot(const Numbers& x, const Numbers& y) { return dot(x.data(), y.data(), x.size()); }

Numbers exact(const float* from, int64_t count) { return Numbers(from, from + count); }

Numbers rms_norm(const Numbers& x, const float* weight, float epsilon) {
  const Number mean = dot(x, x) / static_cast<double>(x.size()) + epsilon;
  const Number scale = Number(1.0) / root(mean);
  Numbers normed;
  for (size_t i = 0; i < x.size(); i++) normed.push_back(x[i] * scale * static_cast<double>(weight[i]));
  return normed;
}

Numbers rotate(const Numbers& x, const float* cosines, const float* sines, float factor) {
  const size_t half = x.size() / 2;
  Numbers rotated(x.size());
  for (size_t i = 0; i < half; i++) {
    const double c = cosines[i], s = sines[i];
    rotated[i] = (x[i] * c - x[half + i] * s) * static_cast<double>(factor);
    rotated[half + i] = (x[half + i] * c + x[i] * s) * static_cast<double>(factor);
  }
  return rotated;
}

Number swiglu(Number gate, Number up) {
  // The exponential is infinite from 88.7 on, where what is left of the gate is below 1e-36.
  if (gate.value < -88.0) return {gate.value * std::exp(gate.value) * up.value, 1e-36 * most(up)};
  return gate / (Number(1.0) + exponential({-gate.value, gate.bound})) * up;
}

// The distance of neighbours of bfloat16, which have 8 significant bits.
double bf16_step(double x) {
  int exponent;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, exponent - 8);
}

double nearest_bf16(double x) { return std::nearbyint(x / bf16_step(x)) * bf16_step(x); }

Numbers rounded_to_bf16(const Numbers& x) {
  Numbers near;
  for (const Number& each : x) {
    const double step = bf16_step(each.value), place = each.value / step;
    const bool sure = std::fabs(place - std::nearbyint(place)) + each.bound / step < 0.5;
    near.push_back(Number(nearest_bf16(each.value), sure ? 0.0 : each.bound + step));
  }
  return near;
}

Numbers attention(const float* query, const std::vector<const float*>& keys, const std::vector<const float*>& values,
                  int64_t head_dim, int64_t planes) {
  // One plane rounds what is multiplied; of three, products of the last ones are left out.
  const auto numbers = [&](const float* from) {
    const Numbers all = exact(from, head_dim);
    return planes == 1 ? rounded_to_bf16(all) : all;
  };
  const double left_out = planes == 3 ? 8.0 * kUnit : 0.0;
  const auto product = [&](const Numbers& x, const Numbers& y) {
    Number total = dot(x, y);
    for (size_t i = 0; i < x.size(); i++) total.bound += left_out * std::fabs(x[i].value * y[i].value);
    return total;
  };
  const Numbers asking = numbers(query);
  Numbers weights;
  for (const float* key : keys) weights.push_back(product(asking, numbers(key)));
  double highest = weights[0].value;
  for (Number score : weights) highest = std::max(highest, score.value);
  // With every further block of keys, what came before is scaled: an exponential and a multiplication.
  const double scaled = 6.0 * kUnit * (keys.size() / 512);
  for (Number& weight : weights) {
    weight = exponential(weight - highest);
    weight.bound += scaled * weight.value;
  }
  const Number total = sum(weights);
  if (planes == 1)
    for (Number& weight : weights) weight.bound += std::ldexp(weight.value, -8);
  std::vector<Numbers> rows;
  for (const float* value : values) rows.push_back(numbers(value));
  Numbers attn_out;
  for (int64_t e = 0; e < head_dim; e++) {
    Numbers column;
    for (const Numbers& row : rows) column.push_back(row[e]);
    attn_out.push_back(product(weights, column) / total);
  }
  return attn_out;
}

Numbers rounded(const Numbers& x, int64_t group, int64_t planes) {
  const double steps = planes == 1 ? 127.0 : 127.0 * 256.0;
  Numbers near(x.size());
  for (size_t first = 0; first < x.size(); first += group) {
    const size_t last = std::min(x.size(), first + group);
    double highest = 0.0, highest_bound = 0.0;
    for (size_t i = first; i < last; i++) {
      highest = std::max(highest, std::fabs(x[i].value));
      highest_bound = std::max(highest_bound, x[i].bound);
    }
    if (highest == 0.0) continue;
    const Number scale = Number(highest, highest_bound) / steps;
    for (size_t i = first; i < last; i++) {
      const double place = x[i].value / scale.value, whole = std::nearbyint(place);
      // Three roundings lie between a value and its place.
      const double doubt = x[i].bound / scale.value + std::fabs(place) * (scale.bound / scale.value + 3.0 * kUnit);
      const bool sure = std::fabs(place - whole) + doubt < 0.5;
      near[i] = Number(whole) * scale;
      if (!sure) near[i].bound += scale.value * (1.0 + doubt);
    }
  }
  return near;
}

}  // namespace bounded
