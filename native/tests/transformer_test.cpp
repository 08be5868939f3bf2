// The rounds of a layer: against naive loops, and against themselves with other threads and other tokens.
#include <cmath>
#include <memory>

#include "bounded.h"
#include "check.h"
#include "transformer/transformer_cpu.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::Panels;
using samples::Random;
using samples::Weights;

constexpr float kEpsilon = 1e-5f;

// How the matrices of a layer are held, and the planes of activations: of bfloat16 or, with a group, of 8 bits.
struct Precision {
  const char* name;
  int64_t planes;
  int64_t group;
  bool layer_is_bf16;
};
constexpr Precision kPrecisions[] = {{"float32", 0, 0, false},
                                     {"float32 by bfloat16", 0, 0, true},
                                     {"bfloat16", 1, 0, true},
                                     {"8 bits", 1, 32, false},
                                     {"8 bits, 2 planes", 2, 64, false},
                                     {"8 bits, wide groups", 1, 128, false}};

// One matrix, stored or in panels.
struct HeldMatrix {
  HeldMatrix(const kernels::KernelTable& table, const Precision& precision, int64_t outputs, int64_t inputs, Random& random)
      : table(table), precision(precision), weights(kernels::DType::kBF16, outputs, inputs, random, 1) {
    if (precision.group) panels = std::make_unique<Panels>(table, weights, precision.group);
  }

  transformer::Matrix matrix() const {
    transformer::Matrix held;
    held.is_int8 = precision.group > 0;
    held.planes = precision.planes, held.layer_is_bf16 = precision.layer_is_bf16;
    if (held.is_int8)
      held.int8 = panels->matrix();
    else
      held.stored = weights.stored();
    return held;
  }
  bounded::Numbers times(const bounded::Numbers& x) const {
    const bool as_bf16 = precision.planes == 1 && (precision.group == 0 || table.bf16.gemm_int8 != nullptr);
    const bounded::Numbers from = as_bf16           ? bounded::rounded_to_bf16(x)
                                  : precision.group ? bounded::rounded(x, precision.group, precision.planes)
                                                    : x;
    bounded::Numbers all;
    for (int64_t output = 0; output < weights.outputs(); output++) {
      bounded::Numbers row = bounded::exact(weights.row(output), weights.inputs());
      if (precision.group)
        for (int64_t input = 0; input < weights.inputs(); input++) {
          const double weight = panels->at(output, input);
          row[input] = as_bf16 ? bounded::nearest_bf16(static_cast<float>(weight)) : weight;
        }
      all.push_back(bounded::dot(from, row));
    }
    return all;
  }

  const kernels::KernelTable& table;
  const Precision precision;
  Weights weights;
  std::unique_ptr<Panels> panels;
};

// A layer of sizes that fill no panel, group or vector, and the numbers of its rounds.
struct Sample {
  Sample(const kernels::KernelTable& table, const Precision& precision, int64_t tokens, int64_t head_dim = 24)
      : random(41),
        shape{52, 2, 3, head_dim, kEpsilon},
        width(shape.num_kv_heads * head_dim),
        inner(139),
        tokens(tokens),
        query(table, precision, width * shape.heads_per_kv, shape.hidden, random),
        key(table, precision, width, shape.hidden, random),
        value(table, precision, width, shape.hidden, random),
        output(table, precision, shape.hidden, width * shape.heads_per_kv, random),
        gate(table, precision, inner, shape.hidden, random),
        up(table, precision, inner, shape.hidden, random),
        down(table, precision, shape.hidden, inner, random),
        attention_norm(random.numbers(shape.hidden)),
        query_norm(random.numbers(head_dim)),
        key_norm(random.numbers(head_dim)),
        mlp_norm(random.numbers(shape.hidden)),
        x(random.numbers(tokens * shape.hidden)),
        attn_out(random.numbers(tokens * width * shape.heads_per_kv)),
        cosines(tokens * head_dim / 2),
        sines(tokens * head_dim / 2) {
    for (int64_t i = 0; i < cosines.size(); i++) {
      const double angle = random.within(3.0f);
      cosines[i] = static_cast<float>(std::cos(angle)), sines[i] = static_cast<float>(std::sin(angle));
    }
  }

  transformer::Layer layer() const {
    return {attention_norm.data(), query.matrix(), key.matrix(),    value.matrix(), query_norm.data(), key_norm.data(),
            output.matrix(),       mlp_norm.data(), gate.matrix(), up.matrix(),    down.matrix()};
  }
  bounded::Numbers normed(int64_t token) const {
    return bounded::rms_norm(bounded::exact(x.data() + token * shape.hidden, shape.hidden), attention_norm.data(),
                             kEpsilon);
  }

  Random random;
  transformer::Shape shape;
  int64_t width, inner, tokens;
  HeldMatrix query, key, value, output, gate, up, down;
  Fenced<float> attention_norm, query_norm, key_norm, mlp_norm, x, attn_out, cosines, sines;
};

// What `qkv_proj` gives for tokens first..first+count of a sample.
struct Projected {
  Projected(const kernels::KernelTable& table, const Sample& sample, int64_t threads, int64_t first, int64_t count,
            bool with_queries = true, bool with_kv = true)
      : queries(count * sample.width * sample.shape.heads_per_kv), keys(count * sample.width), values(count * sample.width) {
    const int64_t hidden = sample.shape.hidden, half = sample.shape.head_dim / 2;
    const auto part = [](const Fenced<float>& all, int64_t from, int64_t size) {
      return std::vector<float>(all.data() + from, all.data() + from + size);
    };
    const Fenced<float> x(part(sample.x, first * hidden, count * hidden));
    const Fenced<float> cosines(part(sample.cosines, first * half, count * half));
    const Fenced<float> sines(part(sample.sines, first * half, count * half));
    transformer::TransformerCpu model(table, sample.shape, threads);
    model.qkv_proj(sample.layer(), x.data(), count, cosines.data(), sines.data(), with_queries ? queries.data() : nullptr,
                    with_kv ? keys.data() : nullptr, with_kv ? values.data() : nullptr);
  }

  Fenced<float> queries, keys, values;
};

void check_numbers(const float* actual, const bounded::Numbers& expected, int64_t first, int64_t count,
                   const char* what, const Precision& precision, int64_t token) {
  for (int64_t i = 0; i < count; i++)
    check::near(actual[i], expected[first + i].value, expected[first + i].bound, "%s in %s: token %d, number %d", what,
                precision.name, int(token), int(first + i));
}

VARIANT_PROPERTY("qkv_proj is norm, products, norms of the heads and rotation, in every precision") {
  for (const Precision& precision : kPrecisions)
    for (const int64_t head_dim : {24, 80}) {
      const Sample sample(table, precision, 9, head_dim);
      const transformer::Shape& shape = sample.shape;
      const Projected all(table, sample, 3, 0, sample.tokens);
      const float factor = 1.0f / std::sqrt(static_cast<float>(head_dim));
      for (int64_t token = 0; token < sample.tokens; token++) {
        const bounded::Numbers normed = sample.normed(token), query = sample.query.times(normed);
        const bounded::Numbers key = sample.key.times(normed), value = sample.value.times(normed);
        const float* cosines = sample.cosines.data() + token * head_dim / 2;
        const float* sines = sample.sines.data() + token * head_dim / 2;
        const auto rotated = [&](const bounded::Numbers& from, int64_t head, const float* norm, float by) {
          const bounded::Numbers own(from.begin() + head * head_dim, from.begin() + (head + 1) * head_dim);
          return bounded::rotate(bounded::rms_norm(own, norm, kEpsilon), cosines, sines, by);
        };
        for (int64_t head = 0; head < shape.num_kv_heads; head++) {
          const int64_t place = (head * sample.tokens + token) * head_dim;
          check_numbers(all.keys.data() + place, rotated(key, head, sample.key_norm.data(), 1.0f), 0, head_dim, "keys",
                        precision, token);
          check_numbers(all.values.data() + place, value, head * head_dim, head_dim, "values", precision, token);
          for (int64_t repeat = 0; repeat < shape.heads_per_kv; repeat++)
            check_numbers(all.queries.data() + place * shape.heads_per_kv + repeat * head_dim,
                          rotated(query, head * shape.heads_per_kv + repeat, sample.query_norm.data(), factor), 0, head_dim,
                          "queries", precision, token);
        }
      }
    }
}

VARIANT_PROPERTY("qkv_proj gives a token the same bits with other threads, other tokens and without the other outputs") {
  for (const Precision& precision : kPrecisions) {
    // More than one chunk of 512 tokens.
    const Sample sample(table, precision, 540);
    const transformer::Shape& shape = sample.shape;
    const Projected all(table, sample, 1, 0, sample.tokens);
    const auto compare = [&](const Projected& some, int64_t first, int64_t count, bool with_queries, bool with_kv) {
      for (int64_t head = 0; head < shape.num_kv_heads; head++) {
        const int64_t to = head * count * shape.head_dim, from = (head * sample.tokens + first) * shape.head_dim;
        const int64_t bytes = count * shape.head_dim * sizeof(float);
        if (with_queries)
          check::same_bits(some.queries.data() + to * shape.heads_per_kv, all.queries.data() + from * shape.heads_per_kv,
                           bytes * shape.heads_per_kv, "queries of %d from %d in %s", int(count), int(first), precision.name);
        if (with_kv) {
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

// x after `output_and_mlp` of tokens first..first+count.
std::vector<float> finished(const kernels::KernelTable& table, const Sample& sample, int64_t threads, int64_t first,
                            int64_t count) {
  const int64_t hidden = sample.shape.hidden, attn_width = sample.width * sample.shape.heads_per_kv;
  Fenced<float> x(std::vector<float>(sample.x.data() + first * hidden, sample.x.data() + (first + count) * hidden));
  const Fenced<float> attn_out(std::vector<float>(sample.attn_out.data() + first * attn_width,
                                               sample.attn_out.data() + (first + count) * attn_width));
  transformer::TransformerCpu model(table, sample.shape, threads);
  model.output_and_mlp(sample.layer(), x.data(), attn_out.data(), count);
  return std::vector<float>(x.data(), x.data() + x.size());
}

VARIANT_PROPERTY("output_and_mlp adds the output of attention and then SwiGLU, in every precision") {
  for (const Precision& precision : kPrecisions) {
    const Sample sample(table, precision, 17);
    const int64_t hidden = sample.shape.hidden, attn_width = sample.width * sample.shape.heads_per_kv;
    const std::vector<float> all = finished(table, sample, 2, 0, sample.tokens);
    for (int64_t token = 0; token < sample.tokens; token++) {
      const bounded::Numbers output =
          sample.output.times(bounded::exact(sample.attn_out.data() + token * attn_width, attn_width));
      bounded::Numbers x = bounded::exact(sample.x.data() + token * hidden, hidden);
      for (int64_t i = 0; i < hidden; i++) x[i] = x[i] + output[i];
      const bounded::Numbers normed = bounded::rms_norm(x, sample.mlp_norm.data(), kEpsilon);
      const bounded::Numbers gate = sample.gate.times(normed), up = sample.up.times(normed);
      bounded::Numbers inner;
      for (int64_t i = 0; i < sample.inner; i++) inner.push_back(bounded::swiglu(gate[i], up[i]));
      const bounded::Numbers down = sample.down.times(inner);
      for (int64_t i = 0; i < hidden; i++) x[i] = x[i] + down[i];
      check_numbers(all.data() + token * hidden, x, 0, hidden, "output_and_mlp", precision, token);
    }
  }
}

VARIANT_PROPERTY("output_and_mlp gives a token the same bits with other threads and other tokens") {
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

VARIANT_PROPERTY("attention shares work items among threads and gives each token what it sees, with the same bits for any number") {
  const Sample sample(table, kPrecisions[0], 40);
  const transformer::Shape& shape = sample.shape;
  const int64_t dim = shape.head_dim, tokens = sample.tokens, heads = shape.num_kv_heads * shape.heads_per_kv;
  const Projected from(table, sample, 2, 0, tokens);
  // A trunk of 11 tokens and two leaves of it, in three work items.
  const Fenced<kernels::KvRange> kv_ranges(std::vector<kernels::KvRange>
      {{from.keys.data(), from.values.data(), 0, tokens * dim, 11}});
  const Fenced<kernels::QueryBlock> query_blocks(
      std::vector<kernels::QueryBlock>{{0, 0, 6, 0, 0, 0}, {0, 6, 11, 6, 0, 0}, {11, 11, 30, 11, 0, 1}, {30, 30, 40, 30, 0, 1}});
  const std::vector<int64_t> work_items = {0, 2, 3, 4};
  std::vector<float> one;
  for (int64_t threads = 1; threads <= 5; threads++) {
    Fenced<float> attn_out(tokens * heads * dim);
    transformer::TransformerCpu model(table, shape, threads);
    model.attention(query_blocks.data(), work_items, kv_ranges.data(), 0, 30, tokens, tokens, 0, from.queries.data(),
                    from.keys.data(), from.values.data(), attn_out.data());
    if (threads == 1)
      one.assign(attn_out.data(), attn_out.data() + attn_out.size());
    else
      check::same_bits(attn_out.data(), one.data(), attn_out.bytes(), "%d threads", int(threads));
  }
  for (int64_t token = 0; token < tokens; token++)
    for (int64_t head = 0; head < heads; head++) {
      const int64_t place = head / shape.heads_per_kv * tokens;
      std::vector<const float*> keys, values;
      for (int64_t t = 0; t <= token; t++)
        if (t < 11 || token < 30 || t >= 30) {
          keys.push_back(from.keys.data() + (place + t) * dim);
          values.push_back(from.values.data() + (place + t) * dim);
        }
      const float* query = from.queries.data() + ((place + token) * shape.heads_per_kv + head % shape.heads_per_kv) * dim;
      check_numbers(one.data() + (token * heads + head) * dim, bounded::attention(query, keys, values, dim), 0, dim,
                    "attention", kPrecisions[0], token);
    }
}

VARIANT_PROPERTY("multiply and quantize_int8 are the kernels' own, shared among threads") {
  Random random(42);
  for (const Precision& precision : kPrecisions)
    for (const int64_t outputs : {1, 64, 300}) {
      const int64_t inputs = 77, tokens = 35;
      const HeldMatrix held(table, precision, outputs, inputs, random);
      const Fenced<float> x(random.numbers(tokens * inputs));
      transformer::TransformerCpu model(table, transformer::Shape{inputs, 1, 1, 8, kEpsilon}, 3);
      Fenced<float> out(tokens * outputs);
      model.multiply(held.matrix(), x.data(), tokens, out.data());
      for (int64_t token = 0; token < tokens; token += 7)
        check_numbers(out.data() + token * outputs, held.times(bounded::exact(x.data() + token * inputs, inputs)), 0,
                      outputs, "multiply", precision, token);
      if (precision.group == 0) continue;
      Panels panels(outputs, inputs, precision.group);
      model.quantize_int8(held.weights.stored(), precision.group, panels.bytes.data(), panels.scales.data());
      check::same_bits(panels.bytes.data(), held.panels->bytes.data(), panels.bytes.bytes(), "%d outputs", int(outputs));
      check::same_bits(panels.scales.data(), held.panels->scales.data(), panels.scales.bytes(), "%d outputs",
                       int(outputs));
    }
}

VARIANT_PROPERTY("forward is the rounds of its layers in a row, reads what was kept and writes what is to be kept") {
  // Two tokens kept from before, a segment of 5 below them and two leaves of it, 3 and 4 tokens, in two layers.
  constexpr int64_t kKept = 2, kTokens = 12, kLayers = 2, kLeaves = 2;
  for (const Precision& precision : kPrecisions) {
    const Sample sample(table, precision, kTokens);
    const transformer::Shape& shape = sample.shape;
    const transformer::Layer layer = sample.layer();
    const int64_t planes = transformer::Gemm(table, layer.query).attention_planes();
    const int64_t kv = shape.kv_width(), q = shape.q_width(), hidden = shape.hidden, half = shape.head_dim / 2;
    Random random(43);
    const Fenced<float> kept(random.numbers(kLayers * 2 * kKept * kv));
    Fenced<float> written(kLayers * 2 * 5 * kv);
    transformer::Batch batch;
    batch.tokens = kTokens, batch.cosines = sample.cosines.data(), batch.sines = sample.sines.data();
    batch.all_queries = {{0, 0, 5, 0, 0, 1}, {5, 5, 8, 5, 0, 2}, {8, 8, 12, 8, 0, 2}};
    batch.work_items = {0, 1, 3};
    batch.leaf_queries = {{5, 7, 8, 0, 0, 2}, {8, 11, 12, 1, 0, 2}};
    batch.kv_ranges = {{1, 0, kKept}, {0, 0, 5}};
    batch.kv_cache = {{kept.data(), kKept}};
    batch.new_kv = {{written.data(), 0, 5}};
    batch.max_seqlen_k = 11;
    batch.check();

    transformer::TransformerCpu model(table, shape, 2);
    Fenced<float> x(std::vector<float>(sample.x.data(), sample.x.data() + kTokens * hidden));
    Fenced<float> workspace(model.workspace_floats(kTokens, kLeaves)), out(kLeaves * hidden);
    std::vector<int64_t> done;
    model.forward(batch, kLayers,
                  {[&](int64_t) -> const transformer::Layer& { return layer; }, [] {},
                   [&](int64_t index) { done.push_back(index); }},
                  x.data(), workspace.data(), out.data());
    check::holds(done == std::vector<int64_t>{0, 1}, "layers are done in order");

    Fenced<float> expected(std::vector<float>(sample.x.data(), sample.x.data() + kTokens * hidden));
    Fenced<float> queries(kTokens * q), keys(kTokens * kv), values(kTokens * kv), attn_out(kTokens * q);
    const auto ranges = [&](int64_t index) {
      const float* from = kept.data() + index * 2 * kKept * kv;
      return std::vector<kernels::KvRange>{{from, from + kKept * kv, 0, kKept * shape.head_dim, kKept},
                                           {keys.data(), values.data(), 0, kTokens * shape.head_dim, 5}};
    };
    const auto check_written = [&](int64_t index) {
      for (int64_t head = 0; head < shape.num_kv_heads; head++)
        for (const bool value : {false, true})
          check::same_bits(written.data() + ((index * 2 + value) * shape.num_kv_heads + head) * 5 * shape.head_dim,
                           (value ? values : keys).data() + head * kTokens * shape.head_dim,
                           5 * shape.head_dim * sizeof(float), "layer %d, head %d", int(index), int(head));
    };
    model.qkv_proj(layer, expected.data(), kTokens, sample.cosines.data(), sample.sines.data(), queries.data(),
                   keys.data(), values.data());
    check_written(0);
    model.attention(batch.all_queries.data(), batch.work_items, ranges(0).data(), 0, 11, kTokens, kTokens,
                    planes, queries.data(), keys.data(), values.data(), attn_out.data());
    model.output_and_mlp(layer, expected.data(), attn_out.data(), kTokens);
    check::same_bits(x.data(), expected.data(), expected.bytes(), "after the first layer in %s", precision.name);
    model.qkv_proj(layer, expected.data(), kTokens, sample.cosines.data(), sample.sines.data(), nullptr, keys.data(),
                   values.data());
    check_written(1);
    for (int64_t leaf = 0; leaf < kLeaves; leaf++) {
      const int64_t token = batch.leaf_queries[leaf].start;
      kernels::QueryBlock block = batch.leaf_queries[leaf];
      block.query = 0;
      float* own = expected.data() + token * hidden;
      model.qkv_proj(layer, own, 1, sample.cosines.data() + token * half, sample.sines.data() + token * half,
                     queries.data(), nullptr, nullptr);
      model.attention(&block, {0, 1}, ranges(1).data(), 0, 11, 1, kTokens, planes, queries.data(), keys.data(), values.data(),
                      attn_out.data());
      model.output_and_mlp(layer, own, attn_out.data(), 1);
      check::same_bits(out.data() + leaf * hidden, own, hidden * sizeof(float), "leaf %d in %s", int(leaf),
                       precision.name);
    }
  }
}

}  // namespace
