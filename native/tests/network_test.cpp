// The rounds of a layer: against naive loops, and against themselves with other threads and other tokens.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "bounded.h"
#include "check.h"
#include "engine/network.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::Panels;
using samples::Random;
using samples::Weights;

constexpr float kEpsilon = 1e-5f;

// How the matrices of a layer are held.
struct Precision {
  const char* name;
  int64_t digits;  // 0: in float32
  int64_t group;
};
constexpr Precision kPrecisions[] = {{"float32", 0, 0}, {"8 bits", 1, 32}, {"8 bits, 2 digits", 2, 64}, {"8 bits, wide groups", 1, 128}};

// One matrix, stored or in panels.
struct HeldMatrix {
  HeldMatrix(const kernels::Table& table, const Precision& precision, int64_t outputs, int64_t inputs, Random& random)
      : precision(precision), weights(kernels::Storage::kBfloat16, outputs, inputs, random, 1) {
    if (precision.digits) panels = std::make_unique<Panels>(table, weights, precision.group);
  }

  engine::Matrix matrix() const {
    engine::Matrix held;
    held.in_panels = precision.digits > 0;
    if (held.in_panels)
      held.digits = precision.digits, held.panels = panels->matrix();
    else
      held.stored = weights.stored();
    return held;
  }
  bounded::Numbers times(const bounded::Numbers& x) const {
    const bounded::Numbers from = precision.digits ? bounded::rounded(x, precision.group, precision.digits) : x;
    bounded::Numbers all;
    for (int64_t output = 0; output < weights.outputs(); output++) {
      bounded::Numbers row = bounded::exact(weights.row(output), weights.inputs());
      if (precision.digits)
        for (int64_t input = 0; input < weights.inputs(); input++) row[input] = panels->at(output, input);
      all.push_back(bounded::dot(from, row));
    }
    return all;
  }

  const Precision precision;
  Weights weights;
  std::unique_ptr<Panels> panels;
};

// A layer of sizes that fill no panel, group or vector, and the numbers of its rounds.
struct Sample {
  Sample(const kernels::Table& table, const Precision& precision, int64_t tokens, int64_t head_dim = 24)
      : random(41),
        shape{52, 2, 3, head_dim, kEpsilon},
        width(shape.key_value_heads * head_dim),
        inner(139),
        tokens(tokens),
        query(table, precision, width * shape.repeats, shape.hidden, random),
        key(table, precision, width, shape.hidden, random),
        value(table, precision, width, shape.hidden, random),
        output(table, precision, shape.hidden, width * shape.repeats, random),
        gate(table, precision, inner, shape.hidden, random),
        up(table, precision, inner, shape.hidden, random),
        down(table, precision, shape.hidden, inner, random),
        attention_norm(random.numbers(shape.hidden)),
        query_norm(random.numbers(head_dim)),
        key_norm(random.numbers(head_dim)),
        mlp_norm(random.numbers(shape.hidden)),
        x(random.numbers(tokens * shape.hidden)),
        mixed(random.numbers(tokens * width * shape.repeats)),
        cosines(tokens * head_dim / 2),
        sines(tokens * head_dim / 2) {
    for (int64_t i = 0; i < cosines.size(); i++) {
      const double angle = random.within(3.0f);
      cosines[i] = static_cast<float>(std::cos(angle)), sines[i] = static_cast<float>(std::sin(angle));
    }
  }

  engine::Layer layer() const {
    return {attention_norm.data(), query.matrix(), key.matrix(),    value.matrix(), query_norm.data(), key_norm.data(),
            output.matrix(),       mlp_norm.data(), gate.matrix(), up.matrix(),    down.matrix()};
  }
  bounded::Numbers normed(int64_t token) const {
    return bounded::rms_norm(bounded::exact(x.data() + token * shape.hidden, shape.hidden), attention_norm.data(),
                             kEpsilon);
  }

  Random random;
  engine::Shape shape;
  int64_t width, inner, tokens;
  HeldMatrix query, key, value, output, gate, up, down;
  Fenced<float> attention_norm, query_norm, key_norm, mlp_norm, x, mixed, cosines, sines;
};

// What `project` gives for tokens first..first+count of a sample.
struct Projected {
  Projected(const kernels::Table& table, const Sample& sample, int64_t threads, int64_t first, int64_t count,
            bool asks = true, bool answers = true)
      : queries(count * sample.width * sample.shape.repeats), keys(count * sample.width), values(count * sample.width) {
    const int64_t hidden = sample.shape.hidden, half = sample.shape.head_dim / 2;
    const auto part = [](const Fenced<float>& all, int64_t from, int64_t size) {
      return std::vector<float>(all.data() + from, all.data() + from + size);
    };
    const Fenced<float> x(part(sample.x, first * hidden, count * hidden));
    const Fenced<float> cosines(part(sample.cosines, first * half, count * half));
    const Fenced<float> sines(part(sample.sines, first * half, count * half));
    engine::Network network(table, sample.shape, threads);
    network.project(sample.layer(), x.data(), count, cosines.data(), sines.data(), asks ? queries.data() : nullptr,
                    answers ? keys.data() : nullptr, answers ? values.data() : nullptr);
  }

  Fenced<float> queries, keys, values;
};

void check_numbers(const float* actual, const bounded::Numbers& expected, int64_t first, int64_t count,
                   const char* what, const Precision& precision, int64_t token) {
  for (int64_t i = 0; i < count; i++)
    check::near(actual[i], expected[first + i].value, expected[first + i].bound, "%s in %s: token %d, number %d", what,
                precision.name, int(token), int(first + i));
}

VARIANT_PROPERTY("project is norm, products, norms of the heads and rotation, in floats and in panels") {
  for (const Precision& precision : kPrecisions)
    for (const int64_t head_dim : {24, 80}) {
      const Sample sample(table, precision, 9, head_dim);
      const engine::Shape& shape = sample.shape;
      const Projected all(table, sample, 3, 0, sample.tokens);
      const float factor = 1.0f / std::sqrt(static_cast<float>(head_dim));
      for (int64_t token = 0; token < sample.tokens; token++) {
        const bounded::Numbers normed = sample.normed(token), query = sample.query.times(normed);
        const bounded::Numbers key = sample.key.times(normed), value = sample.value.times(normed);
        const float* cosines = sample.cosines.data() + token * head_dim / 2;
        const float* sines = sample.sines.data() + token * head_dim / 2;
        const auto turned = [&](const bounded::Numbers& from, int64_t head, const float* norm, float by) {
          const bounded::Numbers own(from.begin() + head * head_dim, from.begin() + (head + 1) * head_dim);
          return bounded::rotate(bounded::rms_norm(own, norm, kEpsilon), cosines, sines, by);
        };
        for (int64_t head = 0; head < shape.key_value_heads; head++) {
          const int64_t place = (head * sample.tokens + token) * head_dim;
          check_numbers(all.keys.data() + place, turned(key, head, sample.key_norm.data(), 1.0f), 0, head_dim, "keys",
                        precision, token);
          check_numbers(all.values.data() + place, value, head * head_dim, head_dim, "values", precision, token);
          for (int64_t repeat = 0; repeat < shape.repeats; repeat++)
            check_numbers(all.queries.data() + place * shape.repeats + repeat * head_dim,
                          turned(query, head * shape.repeats + repeat, sample.query_norm.data(), factor), 0, head_dim,
                          "queries", precision, token);
        }
      }
    }
}

VARIANT_PROPERTY("project gives a token the same bits with other threads, other tokens and without the other outputs") {
  for (const Precision& precision : kPrecisions) {
    // More than one strip of 512 tokens.
    const Sample sample(table, precision, 540);
    const engine::Shape& shape = sample.shape;
    const Projected all(table, sample, 1, 0, sample.tokens);
    const auto compare = [&](const Projected& some, int64_t first, int64_t count, bool asks, bool answers) {
      for (int64_t head = 0; head < shape.key_value_heads; head++) {
        const int64_t to = head * count * shape.head_dim, from = (head * sample.tokens + first) * shape.head_dim;
        const int64_t bytes = count * shape.head_dim * sizeof(float);
        if (asks)
          check::same_bits(some.queries.data() + to * shape.repeats, all.queries.data() + from * shape.repeats,
                           bytes * shape.repeats, "queries of %d from %d in %s", int(count), int(first), precision.name);
        if (answers) {
          check::same_bits(some.keys.data() + to, all.keys.data() + from, bytes, "keys of %d from %d in %s", int(count),
                           int(first), precision.name);
          check::same_bits(some.values.data() + to, all.values.data() + from, bytes, "values of %d from %d in %s",
                           int(count), int(first), precision.name);
        }
      }
    };
    for (int64_t threads = 2; threads <= 5; threads++)
      compare(Projected(table, sample, threads, 0, sample.tokens), 0, sample.tokens, true, true);
    for (const int64_t count : {1, 2, 5, 7, 12, 35})
      compare(Projected(table, sample, 2, 505, count), 505, count, true, true);
    compare(Projected(table, sample, 3, 3, 100), 3, 100, true, true);
    compare(Projected(table, sample, 2, 20, 33, true, false), 20, 33, true, false);
    compare(Projected(table, sample, 2, 20, 33, false, true), 20, 33, false, true);
  }
}

// x after `finish` of tokens first..first+count.
std::vector<float> finished(const kernels::Table& table, const Sample& sample, int64_t threads, int64_t first,
                            int64_t count) {
  const int64_t hidden = sample.shape.hidden, mixed_width = sample.width * sample.shape.repeats;
  Fenced<float> x(std::vector<float>(sample.x.data() + first * hidden, sample.x.data() + (first + count) * hidden));
  const Fenced<float> mixed(std::vector<float>(sample.mixed.data() + first * mixed_width,
                                               sample.mixed.data() + (first + count) * mixed_width));
  engine::Network network(table, sample.shape, threads);
  network.finish(sample.layer(), x.data(), mixed.data(), count);
  return std::vector<float>(x.data(), x.data() + x.size());
}

VARIANT_PROPERTY("finish adds the output of attention and then the gated network, in floats and in panels") {
  for (const Precision& precision : kPrecisions) {
    const Sample sample(table, precision, 17);
    const int64_t hidden = sample.shape.hidden, mixed_width = sample.width * sample.shape.repeats;
    const std::vector<float> all = finished(table, sample, 2, 0, sample.tokens);
    for (int64_t token = 0; token < sample.tokens; token++) {
      const bounded::Numbers output =
          sample.output.times(bounded::exact(sample.mixed.data() + token * mixed_width, mixed_width));
      bounded::Numbers x = bounded::exact(sample.x.data() + token * hidden, hidden);
      for (int64_t i = 0; i < hidden; i++) x[i] = x[i] + output[i];
      const bounded::Numbers normed = bounded::rms_norm(x, sample.mlp_norm.data(), kEpsilon);
      const bounded::Numbers gate = sample.gate.times(normed), up = sample.up.times(normed);
      bounded::Numbers inner;
      for (int64_t i = 0; i < sample.inner; i++) inner.push_back(bounded::gated(gate[i], up[i]));
      const bounded::Numbers down = sample.down.times(inner);
      for (int64_t i = 0; i < hidden; i++) x[i] = x[i] + down[i];
      check_numbers(all.data() + token * hidden, x, 0, hidden, "finish", precision, token);
    }
  }
}

VARIANT_PROPERTY("finish gives a token the same bits with other threads and other tokens") {
  for (const Precision& precision : kPrecisions) {
    const Sample sample(table, precision, 540);
    const int64_t hidden = sample.shape.hidden;
    const std::vector<float> all = finished(table, sample, 1, 0, sample.tokens);
    for (int64_t threads = 2; threads <= 5; threads++)
      check::same_bits(finished(table, sample, threads, 0, sample.tokens).data(), all.data(), all.size() * sizeof(float),
                       "%d threads in %s", int(threads), precision.name);
    for (const int64_t first : {0, 7, 506})
      for (const int64_t count : {1, 3, 13, 34})
        check::same_bits(finished(table, sample, 2, first, count).data(), all.data() + first * hidden,
                         count * hidden * sizeof(float), "%d tokens from %d in %s", int(count), int(first),
                         precision.name);
  }
}

VARIANT_PROPERTY("attend shares tasks among threads and gives each token what it sees, with the same bits for any number") {
  const Sample sample(table, kPrecisions[0], 40);
  const engine::Shape& shape = sample.shape;
  const int64_t dim = shape.head_dim, tokens = sample.tokens, heads = shape.key_value_heads * shape.repeats;
  const Projected from(table, sample, 2, 0, tokens);
  // A trunk of 11 tokens and two leaves of it, in three tasks.
  const Fenced<kernels::Run> runs(std::vector<kernels::Run>{{from.keys.data(), from.values.data(), tokens * dim, 11}});
  const Fenced<kernels::Piece> pieces(
      std::vector<kernels::Piece>{{0, 0, 6, 0, 0, 0}, {0, 6, 11, 6, 0, 0}, {11, 11, 30, 11, 0, 1}, {30, 30, 40, 30, 0, 1}});
  const Fenced<int64_t> tasks(std::vector<int64_t>{0, 2, 3, 4});
  std::vector<float> one;
  for (int64_t threads = 1; threads <= 5; threads++) {
    Fenced<float> mixed(tokens * heads * dim);
    engine::Network network(table, shape, threads);
    network.attend(pieces.data(), tasks.data(), 3, runs.data(), 30, tokens, tokens, from.queries.data(),
                   from.keys.data(), from.values.data(), mixed.data());
    if (threads == 1)
      one.assign(mixed.data(), mixed.data() + mixed.size());
    else
      check::same_bits(mixed.data(), one.data(), mixed.bytes(), "%d threads", int(threads));
  }
  for (int64_t token = 0; token < tokens; token++)
    for (int64_t head = 0; head < heads; head++) {
      const int64_t place = head / shape.repeats * tokens;
      std::vector<const float*> keys, values;
      for (int64_t t = 0; t <= token; t++)
        if (t < 11 || token < 30 || t >= 30) {
          keys.push_back(from.keys.data() + (place + t) * dim);
          values.push_back(from.values.data() + (place + t) * dim);
        }
      const float* query = from.queries.data() + ((place + token) * shape.repeats + head % shape.repeats) * dim;
      check_numbers(one.data() + (token * heads + head) * dim, bounded::attention(query, keys, values, dim), 0, dim,
                    "attend", kPrecisions[0], token);
    }
}

VARIANT_PROPERTY("multiply and quantise are the kernels' own, shared among threads") {
  Random random(42);
  for (const Precision& precision : kPrecisions)
    for (const int64_t outputs : {1, 64, 300}) {
      const int64_t inputs = 77, tokens = 35;
      const HeldMatrix held(table, precision, outputs, inputs, random);
      const Fenced<float> x(random.numbers(tokens * inputs));
      engine::Network network(table, engine::Shape{inputs, 1, 1, 8, kEpsilon}, 3);
      Fenced<float> out(tokens * outputs);
      network.multiply(held.matrix(), x.data(), tokens, out.data());
      for (int64_t token = 0; token < tokens; token += 7)
        check_numbers(out.data() + token * outputs, held.times(bounded::exact(x.data() + token * inputs, inputs)), 0,
                      outputs, "multiply", precision, token);
      if (precision.digits == 0) continue;
      Panels panels(outputs, inputs, precision.group);
      network.quantise(held.weights.stored(), precision.group, panels.bytes.data(), panels.scales.data());
      check::same_bits(panels.bytes.data(), held.panels->bytes.data(), panels.bytes.bytes(), "%d outputs", int(outputs));
      check::same_bits(panels.scales.data(), held.panels->scales.data(), panels.scales.bytes(), "%d outputs",
                       int(outputs));
    }
}

}  // namespace
