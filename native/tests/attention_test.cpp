// Attention over a tree: against naive loops, and against itself however the context is cut.
#include <algorithm>
#include <cmath>
#include <memory>

#include "bounded.h"
#include "check.h"
#include "samples.h"

namespace {

using samples::Fenced;
using samples::Random;

// A variant, and the planes of bfloat16 in which it computes; 0: float32.
struct Form {
  const kernels::KernelTable& table;
  int64_t planes;
};

std::vector<int64_t> planes_of(const kernels::KernelTable& table) {
  return table.bf16.float32_planes ? std::vector<int64_t>{0, 1, table.bf16.float32_planes}
                                    : std::vector<int64_t>{0};
}

#define FORM_PROPERTY(sentence)                                                                           \
  static void CHECK_JOIN(form_property_, __LINE__)(const Form& form);                                     \
  VARIANT_PROPERTY(sentence) {                                                                            \
    for (const int64_t planes : planes_of(table)) CHECK_JOIN(form_property_, __LINE__)(Form{table, planes}); \
  }                                                                                                       \
  static void CHECK_JOIN(form_property_, __LINE__)(const Form& form)

struct Heads {
  int64_t key_value, heads_per_kv, dim;

  int64_t query() const { return key_value * heads_per_kv; }
};

// All tokens from the root to a leaf: each has a key and a value for each key/value head, and queries.
struct Path {
  Path(const Heads& heads, int64_t tokens, Random& random, float query_size = 2.0f)
      : tokens(tokens),
        queries(random.numbers(tokens * heads.query() * heads.dim, query_size)),
        keys(random.numbers(tokens * heads.key_value * heads.dim)),
        values(random.numbers(tokens * heads.key_value * heads.dim)) {}

  // (tokens, heads, head_dim) all of them.
  const float* query(const Heads& heads, int64_t token, int64_t head) const {
    return queries.data() + (token * heads.query() + head) * heads.dim;
  }
  const float* key(const Heads& heads, int64_t token, int64_t head) const {
    return keys.data() + (token * heads.key_value + head) * heads.dim;
  }
  const float* value(const Heads& heads, int64_t token, int64_t head) const {
    return values.data() + (token * heads.key_value + head) * heads.dim;
  }

  int64_t tokens;
  std::vector<float> queries, keys, values;
};

// Segments that were computed before have keys and values of every layer; the tests look at this one of two.
constexpr int64_t kLayer = 1;

// (layers, num_kv_heads, tokens, head_dim), as the kernel wants keys and values; only the last layer has any.
struct Cached {
  Cached(const Heads& heads, int64_t tokens, int64_t layers)
      : tokens(tokens),
        layers(layers),
        keys(layers * heads.key_value * tokens * heads.dim),
        values(layers * heads.key_value * tokens * heads.dim) {}

  void put(const Heads& heads, int64_t at, const Path& path, int64_t first, int64_t count) {
    for (int64_t head = 0; head < heads.key_value; head++)
      for (int64_t t = 0; t < count; t++) {
        const int64_t place = (((layers - 1) * heads.key_value + head) * tokens + at + t) * heads.dim;
        memcpy(keys.data() + place, path.key(heads, first + t, head), heads.dim * sizeof(float));
        memcpy(values.data() + place, path.value(heads, first + t, head), heads.dim * sizeof(float));
      }
  }

  int64_t tokens, layers;
  Fenced<float> keys, values;
};

// A batch as it is being put together: segments, ranges of ancestors and query blocks.
class Batch {
 public:
  Batch(const Heads& heads, int64_t tokens, int64_t query_tokens)
      : heads_(heads), own_(heads, tokens, 1), queries_(heads.query() * query_tokens * heads.dim), query_tokens_(query_tokens),
        next_query_(0), next_token_(0) {}

  // Tokens of the batch that no query block reads; all NaN.
  void skip(int64_t tokens) { next_token_ += tokens; }
  void skip_queries(int64_t tokens) { next_query_ += tokens; }

  // Tokens first..first+count of the path become tokens of the batch; returns where.
  int64_t place(const Path& path, int64_t first, int64_t count) {
    own_.put(heads_, next_token_, path, first, count);
    next_token_ += count;
    return next_token_ - count;
  }

  // The same as a range of ancestors, in the batch from token `at` on.
  void own_range(int64_t at, int64_t count) {
    kv_ranges_.push_back({own_.keys.data() + at * heads_.dim, own_.values.data() + at * heads_.dim,
                          0, own_.tokens * heads_.dim, count});
  }
  // ... or in an array of its own, with other tokens before and after.
  void cached_range(const Path& path, int64_t first, int64_t count, int64_t before, int64_t after) {
    kept_.push_back(std::make_unique<Cached>(heads_, before + count + after, kLayer + 1));
    kept_.back()->put(heads_, before, path, first, count);
    kv_ranges_.push_back({kept_.back()->keys.data() + before * heads_.dim, kept_.back()->values.data() + before * heads_.dim,
                          heads_.key_value * kept_.back()->tokens * heads_.dim, kept_.back()->tokens * heads_.dim, count});
  }
  int64_t kv_ranges() const { return kv_ranges_.size(); }

  // Tokens start..stop ask, of a segment that begins at `begin`, and are tokens `first`.. of the path.
  void block(const Path& path, int64_t first, int64_t begin, int64_t start, int64_t stop, int64_t first_range,
             int64_t last_range) {
    query_blocks_.push_back({begin, start, stop, next_query_, first_range, last_range});
    for (int64_t token = 0; token < stop - start; token++) {
      for (int64_t head = 0; head < heads_.query(); head++)
        memcpy(queries_.data() + (((head / heads_.heads_per_kv * query_tokens_) + next_query_ + token) * heads_.heads_per_kv +
                                  head % heads_.heads_per_kv) * heads_.dim,
               path.query(heads_, first + token, head), heads_.dim * sizeof(float));
      answers_.push_back({&path, first + token, next_query_ + token});
    }
    next_query_ += stop - start;
  }

  struct Answer {
    const Path* path;
    int64_t token, query;
  };
  const std::vector<Answer>& answers() const { return answers_; }

  // (query tokens, query heads, head_dim)
  std::vector<float> attention(const Form& form) {
    int64_t max_seqlen_k = 0;
    for (const kernels::QueryBlock& block : query_blocks_) {
      int64_t context = block.stop - block.segment_start;
      for (int64_t run = block.first_range; run < block.last_range; run++) context += kv_ranges_[run].tokens;
      max_seqlen_k = std::max(max_seqlen_k, context);
    }
    Fenced<float> out(query_tokens_ * heads_.query() * heads_.dim);
    const Fenced<kernels::QueryBlock> query_blocks(query_blocks_);
    const Fenced<kernels::KvRange> kv_ranges(kv_ranges_);
    for (int64_t head = 0; head < heads_.key_value; head++) {
      Fenced<float> scratch(form.table.attention_scratch(max_seqlen_k, heads_.dim, form.planes));
      form.table.attention(query_blocks.data(), query_blocks.size(), kv_ranges.data(), kLayer, head, heads_.key_value,
                      heads_.heads_per_kv, heads_.dim, query_tokens_, own_.tokens, form.planes, queries_.data(), own_.keys.data(),
                      own_.values.data(), out.data(), scratch.data());
    }
    return std::vector<float>(out.data(), out.data() + out.size());
  }

 private:
  Heads heads_;
  Cached own_;
  Fenced<float> queries_;
  int64_t query_tokens_, next_query_, next_token_;
  std::vector<kernels::KvRange> kv_ranges_;
  std::vector<kernels::QueryBlock> query_blocks_;
  std::vector<std::unique_ptr<Cached>> kept_;
  std::vector<Answer> answers_;
};

// Tokens first..last of a path, all of it in one segment.
std::vector<float> attention_alone(const Form& form, const Heads& heads, const Path& path, int64_t first,
                                int64_t last) {
  Batch batch(heads, path.tokens, last - first);
  batch.place(path, 0, path.tokens);
  batch.block(path, first, 0, first, last, 0, 0);
  return batch.attention(form);
}

void check_naive(const Form& form, const Heads& heads, const Path& path, int64_t token, const float* actual) {
  for (int64_t head = 0; head < heads.query(); head++) {
    std::vector<const float*> keys, values;
    for (int64_t t = 0; t <= token; t++) {
      keys.push_back(path.key(heads, t, head / heads.heads_per_kv));
      values.push_back(path.value(heads, t, head / heads.heads_per_kv));
    }
    const bounded::Numbers expected = bounded::attention(path.query(heads, token, head), keys, values, heads.dim, form.planes);
    for (int64_t e = 0; e < heads.dim; e++)
      check::near(actual[head * heads.dim + e], expected[e].value, expected[e].bound,
                  "%d planes, %d dimensions, %d repeats: token %d, head %d, dimension %d", int(form.planes), int(heads.dim), int(heads.heads_per_kv),
                  int(token), int(head), int(e));
  }
}

FORM_PROPERTY("attention is the softmax over what a token may see, for every shape of heads") {
  Random random(31);
  for (const int64_t dim : {8, 24, 64, 80, 128})
    for (const int64_t heads_per_kv : {1, 2, 3, 4}) {
      const Heads heads{2, heads_per_kv, dim};
      const Path path(heads, 19, random, heads_per_kv == 3 ? 40.0f : 2.0f);
      const std::vector<float> out = attention_alone(form, heads, path, 0, path.tokens);
      for (int64_t token = 0; token < path.tokens; token++)
        check_naive(form, heads, path, token, out.data() + token * heads.query() * dim);
    }
}

FORM_PROPERTY("attention runs on across its blocks of 512 keys") {
  Random random(32);
  const Heads heads{1, 2, 24};
  const Path path(heads, 1040, random);
  for (const int64_t first : {505, 1019, 1036}) {
    const int64_t last = std::min<int64_t>(first + 11, path.tokens);
    const std::vector<float> out = attention_alone(form, heads, path, first, last);
    for (int64_t token = first; token < last; token++)
      check_naive(form, heads, path, token, out.data() + (token - first) * heads.query() * heads.dim);
  }
}

FORM_PROPERTY("attention holds up where the highest score comes first, last or far above the others") {
  Random random(33);
  const Heads heads{1, 1, 8};
  for (const int64_t high : {0, 300, 511, 512, 600}) {
    Path path(heads, 620, random);
    for (int64_t e = 0; e < heads.dim; e++) {
      path.keys[high * heads.dim + e] = 12.0f;
      for (int64_t token = 0; token < path.tokens; token++) path.queries[token * heads.dim + e] = token % 2 ? 3.0f : -3.0f;
    }
    const std::vector<float> out = attention_alone(form, heads, path, 598, 620);
    for (int64_t token = 598; token < 620; token++)
      check_naive(form, heads, path, token, out.data() + (token - 598) * heads.query() * heads.dim);
  }
}

// Every answer of the batch has the bits that its token has in its path alone.
void check_same(const Form& form, const Heads& heads, Batch& batch, const char* what) {
  const std::vector<float> out = batch.attention(form);
  const Path* path = nullptr;
  int64_t first = 0, last = 0;
  std::vector<float> alone;
  for (const Batch::Answer& answer : batch.answers()) {
    if (answer.path != path || answer.token < first || answer.token >= last) {
      path = answer.path, first = last = answer.token;
      for (const Batch::Answer& other : batch.answers())
        if (other.path == path) first = std::min(first, other.token), last = std::max(last, other.token + 1);
      alone = attention_alone(form, heads, *path, first, last);
    }
    const int64_t width = heads.query() * heads.dim;
    check::same_bits(out.data() + answer.query * width, alone.data() + (answer.token - first) * width,
                     width * sizeof(float), "%s: %d dimensions, %d repeats, token %d of %d", what, int(heads.dim),
                     int(heads.heads_per_kv), int(answer.token), int(path->tokens));
  }
}

// Ancestors [0, cut) in some ranges, of the batch and of others; the rest a segment in some query blocks.
void check_cut(const Form& form, const Heads& heads, const Path& path, int64_t cut, int64_t first_asking,
               Random& random) {
  const int64_t before = random.between(0, 3), after = random.between(0, 3), skipped = random.between(0, 2);
  Batch batch(heads, before + path.tokens + after, skipped + path.tokens - first_asking + 1);
  batch.skip(before);
  for (int64_t done = 0; done < cut;) {
    const int64_t count = std::min(cut - done, random.between(1, cut));
    if (random.between(0, 1))
      batch.own_range(batch.place(path, done, count), count);
    else
      batch.cached_range(path, done, count, random.between(0, 4), random.between(0, 4));
    done += count;
  }
  const int64_t begin = batch.place(path, cut, path.tokens - cut);
  batch.skip_queries(skipped);
  for (int64_t start = std::max(first_asking, cut); start < path.tokens;) {
    const int64_t stop = std::min(path.tokens, start + random.between(1, 30));
    batch.block(path, start, begin, begin + start - cut, begin + stop - cut, 0, batch.kv_ranges());
    start = stop;
  }
  check_same(form, heads, batch, "cut");
}

FORM_PROPERTY("a token's attention has the same bits wherever its context is cut into ancestors and own tokens") {
  Random random(34);
  for (const Heads heads : {Heads{2, 1, 8}, {2, 2, 24}, {1, 3, 80}, {1, 4, 64}, {1, 2, 128}}) {
    const Path path(heads, 53, random);
    for (const int64_t cut : {0, 1, 7, 16, 32, 33, 52}) check_cut(form, heads, path, cut, 0, random);
  }
  const Heads heads{1, 2, 24};
  const Path path(heads, 560, random);
  for (const int64_t cut : {0, 3, 511, 512, 513, 540}) check_cut(form, heads, path, cut, 500, random);
}

FORM_PROPERTY("segments of a tree do not touch one another, in whatever order one task takes them") {
  Random random(35);
  const Heads heads{2, 2, 24};
  // Two families of three leaves with a trunk in common, and one segment without ancestors.
  std::vector<Path> paths;
  const int64_t trunks[2] = {21, 40};
  for (const int64_t trunk : trunks) {
    const Path common(heads, trunk, random);
    for (const int64_t leaf : {1, 9, 34}) {
      paths.emplace_back(heads, trunk + leaf, random);
      std::copy(common.keys.begin(), common.keys.end(), paths.back().keys.begin());
      std::copy(common.values.begin(), common.values.end(), paths.back().values.begin());
    }
  }
  paths.emplace_back(heads, 15, random);
  const std::vector<std::vector<int>> orders = {{0, 1, 2, 3, 4, 5, 6}, {6, 5, 0, 4, 1, 3, 2}, {2, 6, 1, 0, 5, 3, 4}};
  for (const std::vector<int>& order : orders) {
    Batch batch(heads, 200, 200);
    batch.skip(2);
    const int64_t trunk = batch.place(paths[0], 0, trunks[0]);
    batch.own_range(trunk, 8);
    batch.own_range(trunk + 8, trunks[0] - 8);
    batch.cached_range(paths[3], 0, trunks[1], 5, 1);
    std::vector<int64_t> begins;
    for (size_t i = 0; i < paths.size(); i++) {
      const int64_t above = i < 6 ? trunks[i / 3] : 0;
      begins.push_back(batch.place(paths[i], above, paths[i].tokens - above));
    }
    for (const int i : order) {
      const int64_t above = i < 6 ? trunks[i / 3] : 0, begin = begins[i], own = paths[i].tokens - above;
      const int64_t first_range = i < 3 ? 0 : i < 6 ? 2 : 3, last_range = i < 3 ? 2 : 3;
      // In two query blocks, the second of which continues the first.
      const int64_t middle = own / 2;
      if (middle > 0) batch.block(paths[i], above, begin, begin, begin + middle, first_range, last_range);
      batch.block(paths[i], above + middle, begin, begin + middle, begin + own, first_range, last_range);
    }
    // An earlier block again, when its segment's keys and values are no longer gathered.
    batch.block(paths[2], trunks[0], begins[2], begins[2], begins[2] + 3, 0, 2);
    check_same(form, heads, batch, "tree");
  }
}

FORM_PROPERTY("the same tokens may be asked below other ancestors") {
  Random random(38);
  const Heads heads{1, 2, 24};
  const Path first(heads, 30, random);
  Path second(heads, 24, random);
  // The last ten tokens of both are the same.
  const auto share = [&](const std::vector<float>& from, std::vector<float>& to, int64_t width) {
    std::copy(from.end() - 10 * width, from.end(), to.end() - 10 * width);
  };
  share(first.keys, second.keys, heads.dim), share(first.values, second.values, heads.dim);
  Batch batch(heads, 10, 20);
  batch.cached_range(first, 0, 20, 0, 0);
  batch.cached_range(second, 0, 14, 0, 0);
  const int64_t begin = batch.place(first, 20, 10);
  batch.block(first, 20, begin, begin, begin + 10, 0, 1);
  batch.block(second, 14, begin, begin, begin + 10, 1, 2);
  check_same(form, heads, batch, "other ancestors");
}

FORM_PROPERTY("what a token must not see counts for nothing, however large it is") {
  Random random(37);
  const Heads heads{1, 2, 24};
  for (const int64_t seen : {1, 5, 20, 513}) {
    Path path(heads, 530, random), spoilt = path;
    for (int64_t i = seen * heads.dim; i < spoilt.tokens * heads.dim; i++)
      spoilt.keys[i] = spoilt.values[i] = i % 2 ? 3e38f : -3e38f;
    const std::vector<float> expected = attention_alone(form, heads, path, 0, 530);
    const std::vector<float> actual = attention_alone(form, heads, spoilt, 0, 530);
    check::same_bits(actual.data(), expected.data(), seen * heads.query() * heads.dim * sizeof(float), "%d tokens seen",
                     int(seen));
  }
}

FORM_PROPERTY("NaN or infinity in what a token sees makes NaN of its attention") {
  Random random(36);
  const Heads heads{1, 2, 24};
  for (const float poison : {samples::kNan, samples::kInfinity})
    for (const bool in_value : {false, true}) {
      Path path(heads, 530, random);
      (in_value ? path.values : path.keys)[100 * heads.dim + 5] = poison;
      for (float& each : path.queries) each = std::fabs(each) + 0.01f;
      const std::vector<float> out = attention_alone(form, heads, path, 100, 530);
      for (int64_t token = 100; token < 530; token++)
        for (int64_t i = 0; i < heads.query() * heads.dim; i++) {
          const float actual = out[(token - 100) * heads.query() * heads.dim + i];
          const bool spoilt = !in_value || i % heads.dim == 5;
          check::holds(spoilt ? !std::isfinite(actual) : std::isfinite(actual), "token %d, number %d", int(token), int(i));
        }
    }
}

}  // namespace
