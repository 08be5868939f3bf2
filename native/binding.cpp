// The Python module of the kernels: arrays in, arrays out. The interpreter lock is released while it computes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "search/nearest_rows.h"
#include "transformer/transformer_cpu.h"
#include "transformer/variants.h"

namespace nb = nanobind;

namespace {

// Raised with every change of what Python and this module say to each other.
constexpr int kInterface = 4;

// Releases the interpreter lock while it lives.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() { lock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

  // Takes the lock back for one call into Python. Raises what the call raises, Ctrl-C included.
  template <typename Call>
  decltype(auto) with_lock(const Call& call) {
    lock();
    struct Release {
      Unlocked& unlocked;
      ~Release() { unlocked.state_ = PyEval_SaveThread(); }
    } const release{*this};
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
    return call();
  }

 private:
  void lock() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      // Where the process ends, Python before 3.14 ends a daemon thread here by unwinding its stack, which would end in
      // std::terminate. It waits for the end instead, as it does from 3.14 on.
      while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

  PyThreadState* state_;
};

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutputBytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename Shape> using Input = nb::ndarray<const float, Shape, nb::c_contig, nb::device::cpu>;
template <typename Shape> using Output = nb::ndarray<float, Shape, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <int columns> using IntegerRows = nb::ndarray<const int64_t, nb::shape<-1, columns>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// So that no product of two of them, or of their sizes in bytes, leaves 64 bits.
constexpr int64_t kLargest = int64_t{1} << 24;

void require_size(int64_t value, const char* what) { require(value > 0 && value <= kLargest, what); }
// Of a size in bytes that is only stated.
void require_count(int64_t value) { require(value > 0 && value <= INT32_MAX, "counts must be at least 1"); }

// A weight matrix with the arrays that it reads from.
struct HeldMatrix {
  transformer::Matrix matrix;
  Bytes bytes;
  Input<nb::ndim<1>> scales;
};

// planes: 0 multiplies activations in float32, 1 in bfloat16.
HeldMatrix stored_matrix(Bytes bytes, int dtype, int64_t outputs, int64_t inputs, int planes) {
  require(planes == 0 || planes == 1, "planes must be 0 or 1");
  require_size(outputs, "outputs must be at least 1");
  require_size(inputs, "inputs must be at least 1");
  require(dtype >= 0 && dtype <= 2, "dtype must be 0 (bfloat16), 1 (float16) or 2 (float32)");
  require(static_cast<int64_t>(bytes.size()) == outputs * inputs * (dtype == 2 ? 4 : 2), "bytes do not fit the shape");
  HeldMatrix held;
  held.matrix.planes = planes, held.matrix.layer_is_bf16 = dtype == 0;
  held.matrix.stored = {bytes.data(), static_cast<kernels::DType>(dtype), outputs, inputs};
  held.bytes = bytes;
  return held;
}

// Bytes and scales of an 8-bit matrix; both are filled up to whole panels and groups.
std::pair<int64_t, int64_t> int8_sizes(int64_t outputs, int64_t inputs, int64_t group) {
  require_size(outputs, "outputs must be at least 1");
  require_size(inputs, "inputs must be at least 1");
  require(group == 32 || group == 64 || group == 128, "group must be 32, 64 or 128");
  const int64_t panels = (outputs + kernels::kInt8NR - 1) / kernels::kInt8NR, groups = (inputs + group - 1) / group;
  return {panels * groups * group * kernels::kInt8NR, panels * groups * kernels::kInt8NR};
}

void require_int8_sizes(size_t bytes, size_t scales, int64_t outputs, int64_t inputs, int64_t group) {
  const std::pair<int64_t, int64_t> sizes = int8_sizes(outputs, inputs, group);
  require(static_cast<int64_t>(bytes) == sizes.first && static_cast<int64_t>(scales) == sizes.second,
          "bytes and scales do not fit the shape");
}

HeldMatrix int8_matrix(Bytes bytes, Input<nb::ndim<1>> scales, int64_t outputs, int64_t inputs, int64_t group,
                       int planes) {
  require_int8_sizes(bytes.size(), scales.size(), outputs, inputs, group);
  require(planes == 1 || planes == 2, "planes must be 1 or 2");
  HeldMatrix held;
  held.matrix.is_int8 = true;
  held.matrix.planes = planes;
  held.matrix.int8 = {bytes.data(), scales.data(), outputs, inputs, group};
  held.bytes = bytes;
  held.scales = scales;
  return held;
}

struct HeldLayer {
  transformer::Layer layer;
  std::vector<HeldMatrix> matrices;
  std::vector<Input<nb::ndim<1>>> norms;
};

// matrices: query, key, value, output, gate, up, down; norms: attention, query, key, mlp.
HeldLayer make_layer(std::vector<HeldMatrix> matrices, std::vector<Input<nb::ndim<1>>> norms) {
  require(matrices.size() == 7 && norms.size() == 4, "a layer has seven matrices and four norms");
  for (const HeldMatrix& each : matrices)
    require(each.matrix.is_int8 == matrices[0].matrix.is_int8 && each.matrix.planes == matrices[0].matrix.planes &&
                each.matrix.int8.group == matrices[0].matrix.int8.group,
            "the matrices of a layer must be of one precision");
  const bool all_bf16 = std::all_of(matrices.begin(), matrices.end(), [](const HeldMatrix& each) {
    return !each.matrix.is_int8 && each.matrix.stored.dtype == kernels::DType::kBF16;
  });
  for (HeldMatrix& each : matrices) each.matrix.layer_is_bf16 = all_bf16;
  HeldLayer held{{}, matrices, norms};
  held.layer = {norms[0].data(), matrices[0].matrix, matrices[1].matrix, matrices[2].matrix, norms[1].data(),
                norms[2].data(), matrices[3].matrix, norms[3].data(),    matrices[4].matrix, matrices[5].matrix,
                matrices[6].matrix};
  return held;
}

const kernels::KernelTable& kernels_named(const std::string& name) {
  for (const kernels::KernelTable* table : transformer::usable_variants())
    if (name == table->name) return *table;
  throw std::invalid_argument("this processor does not run the variant " + name);
}

std::vector<kernels::QueryBlock> query_blocks_of(const IntegerRows<6>& rows) {
  std::vector<kernels::QueryBlock> blocks;
  for (size_t i = 0; i < rows.shape(0); i++) {
    const int64_t* row = rows.data() + 6 * i;
    blocks.push_back({row[0], row[1], row[2], row[3], row[4], row[5]});
  }
  return blocks;
}

class TransformerCpu {
 public:
  TransformerCpu(const std::string& variant, int64_t hidden, int64_t heads, int64_t num_kv_heads, int64_t head_dim,
                 float epsilon, int64_t threads)
      : shape_(checked(hidden, heads, num_kv_heads, head_dim, epsilon)),
        transformer_(kernels_named(variant), shape_, threads) {}

  // layers: a sequence of Layer, taken one by one as they are needed.
  // x (tokens, hidden); cosines, sines (tokens, head_dim / 2);
  // all_queries, leaf_queries (blocks, 6): the fields of kernels::QueryBlock; work_items: where each begins, and the end;
  // kv_ranges (ranges, 3): source (0 the batch, s kv_cache[s - 1]), first token, tokens;
  // kv_cache, new_kv: (layers, 2, num_kv_heads, tokens, head_dim) each; new_kv_starts: first token of each in the batch;
  // layer_done(index) is called after a layer; out (leaves, hidden)
  void forward(nb::object layers, Output<nb::ndim<2>> x, Input<nb::ndim<2>> cosines, Input<nb::ndim<2>> sines,
               IntegerRows<6> all_queries, Integers work_items, IntegerRows<6> leaf_queries, IntegerRows<3> kv_ranges,
               int64_t max_seqlen_k, std::vector<Input<nb::ndim<5>>> kv_cache, std::vector<Output<nb::ndim<5>>> new_kv,
               Integers new_kv_starts, Output<nb::ndim<1>> workspace, nb::callable layer_done, Output<nb::ndim<2>> out) {
    const int64_t num_layers = static_cast<int64_t>(nb::len(layers)), tokens = x.shape(0), leaves = out.shape(0);
    require(tokens > 0 && tokens <= kLargest && max_seqlen_k > 0 && max_seqlen_k <= kLargest,
            "a batch has at least 1 token");
    require(is(x.shape(1), shape_.hidden) && is(out.shape(1), shape_.hidden), "x and out have the hidden size as width");
    for (const auto& angles : {cosines, sines})
      require(is(angles.shape(0), tokens) && is(angles.shape(1), shape_.head_dim / 2), "angles do not fit");
    require(is(leaf_queries.shape(0), leaves), "out has a row for each leaf");
    require(is(workspace.size(), transformer_.workspace_floats(tokens, leaves)), "the workspace has another size");
    transformer::Batch batch;
    batch.tokens = tokens;
    batch.cosines = cosines.data(), batch.sines = sines.data();
    batch.all_queries = query_blocks_of(all_queries), batch.leaf_queries = query_blocks_of(leaf_queries);
    batch.work_items.assign(work_items.data(), work_items.data() + work_items.size());
    for (size_t i = 0; i < kv_ranges.shape(0); i++) {
      const int64_t* range = kv_ranges.data() + 3 * i;
      batch.kv_ranges.push_back({range[0], range[1], range[2]});
    }
    for (const auto& each : kv_cache) {
      check_kv(each, num_layers);
      batch.kv_cache.push_back({each.data(), static_cast<int64_t>(each.shape(3))});
    }
    require(new_kv_starts.size() == new_kv.size(), "new_kv_starts has one entry for each of new_kv");
    for (size_t i = 0; i < new_kv.size(); i++) {
      check_kv(new_kv[i], num_layers);
      batch.new_kv.push_back({new_kv[i].data(), new_kv_starts.data()[i], static_cast<int64_t>(new_kv[i].shape(3))});
    }
    batch.max_seqlen_k = max_seqlen_k;
    batch.check();

    nb::object held;  // the layer that runs
    Unlocked unlocked;
    // The lock of this object is taken without the interpreter lock and kept while Python is called: a thread that
    // waits for it must not hold the interpreter lock either.
    std::lock_guard<std::mutex> lock(mutex_);
    transformer::TransformerCpu::Callbacks callbacks;
    callbacks.layer_at = [&](int64_t index) -> const transformer::Layer& {
      return unlocked.with_lock([&]() -> const transformer::Layer& {
        held = layers[nb::int_(index)];
        const HeldLayer& layer = nb::cast<const HeldLayer&>(held);
        check_width(layer);
        return layer.layer;
      });
    };
    // A layer of a large batch takes seconds: Ctrl-C need not wait for its end.
    callbacks.between_rounds = [&] { unlocked.with_lock([] {}); };
    callbacks.layer_done = [&](int64_t index) {
      unlocked.with_lock([&] {
        // A layer that was made only for this call is freed before the next one is made.
        held.reset();
        layer_done(index);
      });
    };
    transformer_.forward(batch, num_layers, callbacks, x.data(), workspace.data(), out.data());
  }

  int64_t workspace_floats(int64_t tokens, int64_t leaves) const {
    require_count(tokens);
    require(leaves >= 0 && leaves <= tokens, "a batch has no more leaves than tokens");
    return transformer_.workspace_floats(tokens, leaves);
  }

  // group: of 8-bit matrices, otherwise 0, for matrices that are stored in bfloat16.
  int64_t buffer_bytes(int64_t intermediate, int64_t planes, int64_t group, int64_t tokens, int64_t max_seqlen_k) const {
    for (int64_t each : {intermediate, tokens, max_seqlen_k}) require_count(each);
    require(group == 0 ? planes == 0 || planes == 1
                       : (planes == 1 || planes == 2) && (group == 32 || group == 64 || group == 128),
            "group must be 0, 32, 64 or 128, and planes 1 or 2, or 0 or 1 without a group");
    transformer::Matrix like;
    like.is_int8 = group > 0, like.layer_is_bf16 = group == 0;
    like.planes = planes, like.int8.group = group;
    return transformer_.buffer_bytes(like, intermediate, tokens, max_seqlen_k);
  }

  void multiply(const HeldMatrix& matrix, Input<nb::ndim<2>> x, Output<nb::ndim<2>> out) {
    require(is(x.shape(1), matrix.matrix.inputs()) && is(out.shape(1), matrix.matrix.outputs()) &&
                x.shape(0) == out.shape(0),
            "shapes do not fit");
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    transformer_.multiply(matrix.matrix, x.data(), x.shape(0), out.data());
  }

  void quantize_int8(const HeldMatrix& matrix, int64_t group, OutputBytes bytes, Output<nb::ndim<1>> scales) {
    require(!matrix.matrix.is_int8, "only a stored matrix can be quantized");
    require_int8_sizes(bytes.size(), scales.size(), matrix.matrix.outputs(), matrix.matrix.inputs(), group);
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    transformer_.quantize_int8(matrix.matrix.stored, group, bytes.data(), scales.data());
  }

  void repack_q8_0(Bytes blocks, int64_t outputs, int64_t inputs, OutputBytes bytes, Output<nb::ndim<1>> scales) {
    require_int8_sizes(bytes.size(), scales.size(), outputs, inputs, 32);
    require(inputs % 32 == 0 && is(blocks.size(), outputs * (inputs / 32 * 34)), "blocks do not fit the shape");
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    transformer_.repack_q8_0(blocks.data(), outputs, inputs, bytes.data(), scales.data());
  }

  // Seconds that all threads together spent in products, in attention, and in the rest.
  std::vector<double> spent() {
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    const transformer::Spent spent = transformer_.spent();
    return {spent.products * 1e-9, spent.attention * 1e-9, spent.rest * 1e-9};
  }

 private:
  static transformer::Shape checked(int64_t hidden, int64_t heads, int64_t num_kv_heads, int64_t head_dim,
                                    float epsilon) {
    for (int64_t each : {hidden, heads, num_kv_heads, head_dim}) require_size(each, "sizes must be at least 1");
    require(heads % num_kv_heads == 0, "heads must be a multiple of key/value heads");
    return {hidden, num_kv_heads, heads / num_kv_heads, head_dim, epsilon};
  }
  static bool is(size_t actual, int64_t expected) { return static_cast<int64_t>(actual) == expected; }
  template <typename Array>
  void check_kv(const Array& kv, int64_t num_layers) const {
    require(is(kv.shape(0), num_layers) && kv.shape(1) == 2 && is(kv.shape(2), shape_.num_kv_heads) &&
                kv.shape(3) <= static_cast<size_t>(kLargest) && is(kv.shape(4), shape_.head_dim),
            "keys and values are (layers, 2, key/value heads, tokens, head_dim)");
  }
  void check_width(const HeldLayer& held) const {
    const transformer::Layer& layer = held.layer;
    require(layer.query.inputs() == shape_.hidden && layer.query.outputs() == shape_.q_width() &&
                layer.key.inputs() == shape_.hidden && layer.key.outputs() == shape_.kv_width() &&
                layer.value.inputs() == shape_.hidden && layer.value.outputs() == shape_.kv_width() &&
                layer.output.inputs() == shape_.q_width() && layer.output.outputs() == shape_.hidden &&
                layer.gate.inputs() == shape_.hidden && layer.up.inputs() == shape_.hidden &&
                layer.up.outputs() == layer.gate.outputs() && layer.down.inputs() == layer.gate.outputs() &&
                layer.down.outputs() == shape_.hidden && is(held.norms[0].size(), shape_.hidden) &&
                is(held.norms[1].size(), shape_.head_dim) && is(held.norms[2].size(), shape_.head_dim) &&
                is(held.norms[3].size(), shape_.hidden),
            "the layer has another shape");
  }

  const transformer::Shape shape_;
  transformer::TransformerCpu transformer_;
  std::mutex mutex_;
};

using Codes = nb::ndarray<const int16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// rows: whole rows of a float32 and query.size() bytes; numbers: of those to look at; returns rows and scores.
std::pair<std::vector<int64_t>, std::vector<float>> nearest_rows(const std::string& variant, Bytes rows,
                                                                 Integers numbers, Codes query, int64_t count,
                                                                 int64_t threads) {
  const int64_t columns = static_cast<int64_t>(query.size()), stride = columns + static_cast<int64_t>(sizeof(float));
  require_size(columns, "a query has at least 1 number");
  int64_t magnitudes = 0;
  for (int64_t c = 0; c < columns; c++) magnitudes += std::abs(static_cast<int64_t>(query.data()[c]));
  require(magnitudes * 128 <= INT32_MAX, "the query is too large for sums of 32 bits");
  const int64_t held = static_cast<int64_t>(rows.size()) / stride, named = static_cast<int64_t>(numbers.size());
  const kernels::KernelTable& table = kernels_named(variant);
  std::vector<search::ScoredRow> found;
  {
    const Unlocked unlocked;
    require(std::all_of(numbers.data(), numbers.data() + named, [&](int64_t row) { return row >= 0 && row < held; }),
            "there is no such row");
    found = search::nearest_rows(table, {rows.data(), stride, columns}, numbers.data(), named, query.data(), count,
                                 threads);
  }
  std::pair<std::vector<int64_t>, std::vector<float>> both;
  for (const search::ScoredRow& each : found) {
    both.first.push_back(each.row);
    both.second.push_back(each.score);
  }
  return both;
}

}  // namespace

NB_MODULE(qwen3_reranker_kernels, module) {
  // A process may end while a daemon thread still computes. What that thread holds is not lost, as the list that would
  // be printed says; the tests of these sources look for leaks under AddressSanitizer.
  nb::set_leak_warnings(false);
  module.attr("interface") = kInterface;
  module.def("variants", [] {
    std::vector<std::string> names;
    for (const kernels::KernelTable* table : transformer::usable_variants()) names.emplace_back(table->name);
    return names;
  }, "Names of the variants that this processor runs, best first.");
  nb::class_<HeldMatrix>(module, "Matrix");
  module.def("stored_matrix", &stored_matrix, nb::arg("bytes"), nb::arg("dtype"), nb::arg("outputs"), nb::arg("inputs"),
             nb::arg("planes") = 0);
  module.def("int8_matrix", &int8_matrix, nb::arg("bytes"), nb::arg("scales"), nb::arg("outputs"), nb::arg("inputs"),
             nb::arg("group"), nb::arg("planes"));
  module.def("int8_sizes", &int8_sizes, nb::arg("outputs"), nb::arg("inputs"), nb::arg("group"),
             "Bytes and scales that an 8-bit matrix takes.");
  module.def("nearest_rows", &nearest_rows, nb::arg("variant"), nb::arg("rows"), nb::arg("numbers"), nb::arg("query"),
             nb::arg("count"), nb::arg("threads"), "Of the rows of 8 bits named, the best: numbers and scores.");
  nb::class_<HeldLayer>(module, "Layer")
      .def("__init__", [](HeldLayer* self, std::vector<HeldMatrix> matrices, std::vector<Input<nb::ndim<1>>> norms) {
        new (self) HeldLayer(make_layer(std::move(matrices), std::move(norms)));
      }, nb::arg("matrices"), nb::arg("norms"));
  nb::class_<TransformerCpu>(module, "TransformerCpu")
      .def(nb::init<const std::string&, int64_t, int64_t, int64_t, int64_t, float, int64_t>(), nb::arg("variant"),
           nb::arg("hidden"), nb::arg("heads"), nb::arg("num_kv_heads"), nb::arg("head_dim"), nb::arg("epsilon"),
           nb::arg("threads"))
      // What is written to is never a copy: an array of another type or layout is refused.
      .def("forward", &TransformerCpu::forward, nb::arg("layers"), nb::arg("x").noconvert(), nb::arg("cosines"),
           nb::arg("sines"), nb::arg("all_queries"), nb::arg("work_items"), nb::arg("leaf_queries"),
           nb::arg("kv_ranges"), nb::arg("max_seqlen_k"), nb::arg("kv_cache").noconvert(),
           nb::arg("new_kv").noconvert(), nb::arg("new_kv_starts"), nb::arg("workspace").noconvert(),
           nb::arg("layer_done"), nb::arg("out").noconvert())
      .def("workspace_floats", &TransformerCpu::workspace_floats, nb::arg("tokens"), nb::arg("leaves"))
      .def("buffer_bytes", &TransformerCpu::buffer_bytes, nb::arg("intermediate"), nb::arg("planes"), nb::arg("group"),
           nb::arg("tokens"), nb::arg("max_seqlen_k"))
      .def("multiply", &TransformerCpu::multiply, nb::arg("matrix"), nb::arg("x"), nb::arg("out").noconvert())
      .def("quantize_int8", &TransformerCpu::quantize_int8, nb::arg("matrix"), nb::arg("group"),
           nb::arg("bytes").noconvert(), nb::arg("scales").noconvert())
      .def("repack_q8_0", &TransformerCpu::repack_q8_0, nb::arg("blocks"), nb::arg("outputs"), nb::arg("inputs"),
           nb::arg("bytes").noconvert(), nb::arg("scales").noconvert())
      .def("spent", &TransformerCpu::spent);
}
