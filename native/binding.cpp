// The Python face of the engine: arrays in, arrays out, the interpreter lock given back while it computes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "engine/network.h"
#include "engine/variants.h"

namespace nb = nanobind;

namespace {

// Raised with every change of what Python and this module say to each other.
constexpr int kInterface = 1;

// Gives the interpreter lock back while it lasts.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      // Where the process ends, Python before 3.14 ends a daemon thread here by unwinding its stack, which would end in
      // std::terminate. It waits for the end instead, as it does from 3.14 on.
      while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* const state_;
};

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename Shape> using Input = nb::ndarray<const float, Shape, nb::c_contig, nb::device::cpu>;
template <typename Shape> using Output = nb::ndarray<float, Shape, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// So that no product of two of them, or of their sizes in bytes, leaves 64 bits.
constexpr int64_t kLargest = int64_t{1} << 24;

void require_size(int64_t value, const char* what) { require(value > 0 && value <= kLargest, what); }

// A weight matrix with the arrays that it reads from.
struct HeldMatrix {
  engine::Matrix matrix;
  Bytes bytes;
  Input<nb::ndim<1>> scales;
};

HeldMatrix stored_matrix(Bytes bytes, int storage, int64_t outputs, int64_t inputs) {
  require_size(outputs, "outputs must be at least 1");
  require_size(inputs, "inputs must be at least 1");
  require(storage >= 0 && storage <= 2, "storage must be 0 (bfloat16), 1 (float16) or 2 (float32)");
  require(static_cast<int64_t>(bytes.size()) == outputs * inputs * (storage == 2 ? 4 : 2), "bytes do not fit the shape");
  HeldMatrix held;
  held.matrix.stored = {bytes.data(), static_cast<kernels::Storage>(storage), outputs, inputs};
  held.bytes = bytes;
  return held;
}

HeldMatrix panel_matrix(Bytes bytes, Input<nb::ndim<1>> scales, int64_t outputs, int64_t inputs, int64_t group,
                        int digits) {
  require_size(outputs, "outputs must be at least 1");
  require_size(inputs, "inputs must be at least 1");
  require(group == 32 || group == 64 || group == 128, "group must be 32, 64 or 128");
  require(digits == 1 || digits == 2, "digits must be 1 or 2");
  const int64_t panels = (outputs + kernels::kPanelOutputs - 1) / kernels::kPanelOutputs;
  const int64_t groups = (inputs + group - 1) / group;
  require(static_cast<int64_t>(bytes.size()) == panels * groups * group * kernels::kPanelOutputs &&
              static_cast<int64_t>(scales.size()) == panels * groups * kernels::kPanelOutputs,
          "panels do not fit the shape");
  HeldMatrix held;
  held.matrix.in_panels = true;
  held.matrix.digits = digits;
  held.matrix.panels = {bytes.data(), scales.data(), outputs, inputs, group};
  held.bytes = bytes;
  held.scales = scales;
  return held;
}

struct HeldLayer {
  engine::Layer layer;
  std::vector<HeldMatrix> matrices;
  std::vector<Input<nb::ndim<1>>> norms;
};

// matrices: query, key, value, output, gate, up, down; norms: attention, query, key, mlp.
HeldLayer make_layer(std::vector<HeldMatrix> matrices, std::vector<Input<nb::ndim<1>>> norms) {
  require(matrices.size() == 7 && norms.size() == 4, "a layer has seven matrices and four norms");
  for (const HeldMatrix& each : matrices)
    require(each.matrix.in_panels == matrices[0].matrix.in_panels && each.matrix.digits == matrices[0].matrix.digits &&
                each.matrix.panels.group == matrices[0].matrix.panels.group,
            "the matrices of a layer must be of one precision");
  HeldLayer held{{}, matrices, norms};
  held.layer = {norms[0].data(), matrices[0].matrix, matrices[1].matrix, matrices[2].matrix, norms[1].data(),
                norms[2].data(), matrices[3].matrix, norms[3].data(),    matrices[4].matrix, matrices[5].matrix,
                matrices[6].matrix};
  return held;
}

const kernels::Table& table_named(const std::string& name) {
  for (const kernels::Table* table : engine::usable_variants())
    if (name == table->name) return *table;
  throw std::invalid_argument("this processor does not run the variant " + name);
}

class Engine {
 public:
  Engine(const std::string& variant, int64_t hidden, int64_t heads, int64_t key_value_heads, int64_t head_dim,
         float epsilon, int64_t threads)
      : shape_(checked(hidden, heads, key_value_heads, head_dim, epsilon)),
        network_(table_named(variant), shape_, threads) {}

  // queries (key/value heads, tokens, repeats, head_dim) or none; keys and values (key/value heads, tokens, head_dim).
  void project(const HeldLayer& layer, Input<nb::ndim<2>> x, Input<nb::ndim<2>> cosines, Input<nb::ndim<2>> sines,
               std::optional<Output<nb::ndim<4>>> queries, std::optional<Output<nb::ndim<3>>> keys,
               std::optional<Output<nb::ndim<3>>> values) {
    const int64_t tokens = x.shape(0);
    check_width(layer);
    require(static_cast<int64_t>(x.shape(1)) == shape_.hidden, "x has another width");
    for (const auto& angles : {cosines, sines})
      require(static_cast<int64_t>(angles.shape(0)) == tokens &&
                  static_cast<int64_t>(angles.shape(1)) == shape_.head_dim / 2,
              "angles do not fit");
    require(keys.has_value() == values.has_value(), "keys and values go together");
    require(queries.has_value() || keys.has_value(), "there is nothing to project to");
    if (queries) check(queries->shape(0), queries->shape(1), tokens, queries->shape(2) * queries->shape(3),
                       shape_.repeats * shape_.head_dim);
    if (keys) {
      check(keys->shape(0), keys->shape(1), tokens, keys->shape(2), shape_.head_dim);
      check(values->shape(0), values->shape(1), tokens, values->shape(2), shape_.head_dim);
    }
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    network_.project(layer.layer, x.data(), tokens, cosines.data(), sines.data(), queries ? queries->data() : nullptr,
                     keys ? keys->data() : nullptr, values ? values->data() : nullptr);
  }

  // pieces (pieces, 6): begin, start, stop, query, first run, last run; tasks: where each task's pieces begin, and the
  // end; runs (runs, 3): source, first token, tokens, where source 0 is the batch itself and s is kept[s - 1], which is
  // (2, key/value heads, tokens, head_dim).
  void attend(Numbers pieces, Numbers tasks, Numbers runs, int64_t longest, Input<nb::ndim<4>> queries,
              Input<nb::ndim<3>> keys, Input<nb::ndim<3>> values, std::vector<Input<nb::ndim<4>>> kept,
              Output<nb::ndim<2>> mixed) {
    const int64_t query_tokens = queries.shape(1), tokens = keys.shape(1);
    check(queries.shape(0), queries.shape(1), query_tokens, queries.shape(2) * queries.shape(3),
          shape_.repeats * shape_.head_dim);
    check(keys.shape(0), keys.shape(1), tokens, keys.shape(2), shape_.head_dim);
    check(values.shape(0), values.shape(1), tokens, values.shape(2), shape_.head_dim);
    check(shape_.key_value_heads, mixed.shape(0), query_tokens, mixed.shape(1),
          shape_.key_value_heads * shape_.repeats * shape_.head_dim);
    std::vector<kernels::Run> sources;
    for (size_t i = 0; i < runs.size() / 3; i++) {
      const int64_t source = runs.data()[3 * i], first = runs.data()[3 * i + 1], count = runs.data()[3 * i + 2];
      require(source >= 0 && source <= static_cast<int64_t>(kept.size()) && first >= 0 && count >= 0 && count <= kLargest,
              "a run has no source");
      const int64_t held = source ? kept[source - 1].shape(2) : tokens;
      require(first <= held - count, "a run ends behind its source");
      const float* own_keys = source ? kept[source - 1].data() : keys.data();
      const float* own_values =
          source ? own_keys + shape_.key_value_heads * held * shape_.head_dim : values.data();
      sources.push_back({own_keys + first * shape_.head_dim, own_values + first * shape_.head_dim,
                         held * shape_.head_dim, count});
    }
    for (const auto& each : kept)
      require(each.shape(0) == 2 && static_cast<int64_t>(each.shape(1)) == shape_.key_value_heads &&
                  static_cast<int64_t>(each.shape(3)) == shape_.head_dim,
              "kept keys and values do not fit");
    std::vector<kernels::Piece> list(pieces.size() / 6);
    for (size_t i = 0; i < list.size(); i++) {
      const int64_t* from = pieces.data() + 6 * i;
      list[i] = {from[0], from[1], from[2], from[3], from[4], from[5]};
      int64_t context = from[2] - from[0];
      require(from[0] >= 0 && from[0] <= from[1] && from[1] < from[2] && from[2] <= tokens && from[3] >= 0 &&
                  from[3] <= query_tokens - (from[2] - from[1]) && from[4] >= 0 && from[4] <= from[5] &&
                  from[5] <= static_cast<int64_t>(sources.size()),
              "a piece lies outside the batch");
      for (int64_t run = from[4]; run < from[5]; run++) context += sources[run].tokens;
      require(context <= longest, "a piece sees more than the longest");
    }
    const int64_t count = static_cast<int64_t>(tasks.size()) - 1;
    for (int64_t i = 0; i < count; i++) require(tasks.data()[i] <= tasks.data()[i + 1], "tasks must rise");
    require(count >= 0 && tasks.data()[0] == 0 && tasks.data()[count] == static_cast<int64_t>(list.size()),
            "tasks must cover the pieces");
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    network_.attend(list.data(), tasks.data(), count, sources.data(), longest, query_tokens, tokens, queries.data(),
                    keys.data(), values.data(), mixed.data());
  }

  void finish(const HeldLayer& layer, Output<nb::ndim<2>> x, Input<nb::ndim<2>> mixed) {
    check_width(layer);
    check(shape_.key_value_heads, mixed.shape(0), x.shape(0), mixed.shape(1), layer.layer.output.inputs());
    require(static_cast<int64_t>(x.shape(1)) == shape_.hidden, "x has another width");
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    network_.finish(layer.layer, x.data(), mixed.data(), x.shape(0));
  }

  void multiply(const HeldMatrix& matrix, Input<nb::ndim<2>> x, Output<nb::ndim<2>> out) {
    require(static_cast<int64_t>(x.shape(1)) == matrix.matrix.inputs() &&
                static_cast<int64_t>(out.shape(1)) == matrix.matrix.outputs() && x.shape(0) == out.shape(0),
            "shapes do not fit");
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    network_.multiply(matrix.matrix, x.data(), x.shape(0), out.data());
  }

  void quantise(const HeldMatrix& matrix, int64_t group, nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig> bytes,
                Output<nb::ndim<1>> scales) {
    require(!matrix.matrix.in_panels, "only a stored matrix can be quantised");
    const HeldMatrix fits = panel_matrix(Bytes(bytes), Input<nb::ndim<1>>(scales), matrix.matrix.outputs(),
                                         matrix.matrix.inputs(), group, 1);
    (void)fits;
    const Unlocked unlocked;
    std::lock_guard<std::mutex> lock(mutex_);
    network_.quantise(matrix.matrix.stored, group, bytes.data(), scales.data());
  }

  // Seconds that all threads together spent in products, in attention, and in work on rows.
  std::vector<double> spent() {
    std::lock_guard<std::mutex> lock(mutex_);
    const engine::Spent spent = network_.spent();
    return {spent.products * 1e-9, spent.attention * 1e-9, spent.rows * 1e-9};
  }

 private:
  static engine::Shape checked(int64_t hidden, int64_t heads, int64_t key_value_heads, int64_t head_dim, float epsilon) {
    for (int64_t each : {hidden, heads, key_value_heads, head_dim}) require_size(each, "sizes must be at least 1");
    require(heads % key_value_heads == 0, "heads must be a multiple of key/value heads");
    return {hidden, key_value_heads, heads / key_value_heads, head_dim, epsilon};
  }
  void check(size_t heads, size_t rows, int64_t expected_rows, size_t width, int64_t expected_width) const {
    require(static_cast<int64_t>(heads) == shape_.key_value_heads && static_cast<int64_t>(rows) == expected_rows &&
                static_cast<int64_t>(width) == expected_width,
            "an array has another shape");
  }
  void check_width(const HeldLayer& held) const {
    const int64_t width = shape_.key_value_heads * shape_.head_dim;
    const engine::Layer& layer = held.layer;
    require(layer.query.inputs() == shape_.hidden && layer.query.outputs() == width * shape_.repeats &&
                layer.key.inputs() == shape_.hidden && layer.key.outputs() == width &&
                layer.value.inputs() == shape_.hidden && layer.value.outputs() == width &&
                layer.output.inputs() == width * shape_.repeats && layer.output.outputs() == shape_.hidden &&
                layer.gate.inputs() == shape_.hidden && layer.up.inputs() == shape_.hidden &&
                layer.up.outputs() == layer.gate.outputs() && layer.down.inputs() == layer.gate.outputs() &&
                layer.down.outputs() == shape_.hidden &&
                static_cast<int64_t>(held.norms[0].size()) == shape_.hidden &&
                static_cast<int64_t>(held.norms[1].size()) == shape_.head_dim &&
                static_cast<int64_t>(held.norms[2].size()) == shape_.head_dim &&
                static_cast<int64_t>(held.norms[3].size()) == shape_.hidden,
            "the layer has another shape");
  }

  const engine::Shape shape_;
  engine::Network network_;
  std::mutex mutex_;
};

}  // namespace

NB_MODULE(qwen3_reranker_kernels, module) {
  // A process may end while a daemon thread still computes. What that thread holds is not lost, as the list that would
  // be printed says; the tests of these sources look for leaks under AddressSanitizer.
  nb::set_leak_warnings(false);
  module.attr("interface") = kInterface;
  module.attr("panel_outputs") = kernels::kPanelOutputs;
  module.def("variants", [] {
    std::vector<std::string> names;
    for (const kernels::Table* table : engine::usable_variants()) names.emplace_back(table->name);
    return names;
  }, "Names of the variants that this processor runs, best first.");
  nb::class_<HeldMatrix>(module, "Matrix");
  module.def("stored_matrix", &stored_matrix, nb::arg("bytes"), nb::arg("storage"), nb::arg("outputs"), nb::arg("inputs"));
  module.def("panel_matrix", &panel_matrix, nb::arg("bytes"), nb::arg("scales"), nb::arg("outputs"), nb::arg("inputs"),
             nb::arg("group"), nb::arg("digits"));
  nb::class_<HeldLayer>(module, "Layer").def("__init__", [](HeldLayer* self, std::vector<HeldMatrix> matrices, std::vector<Input<nb::ndim<1>>> norms) {
    new (self) HeldLayer(make_layer(std::move(matrices), std::move(norms)));
  }, nb::arg("matrices"), nb::arg("norms"));
  nb::class_<Engine>(module, "Engine")
      .def(nb::init<const std::string&, int64_t, int64_t, int64_t, int64_t, float, int64_t>(), nb::arg("variant"),
           nb::arg("hidden"), nb::arg("heads"), nb::arg("key_value_heads"), nb::arg("head_dim"), nb::arg("epsilon"),
           nb::arg("threads"))
      // What is written to is never a copy: an array of another type or layout is refused.
      .def("project", &Engine::project, nb::arg("layer"), nb::arg("x"), nb::arg("cosines"), nb::arg("sines"),
           nb::arg("queries").none().noconvert(), nb::arg("keys").none().noconvert(),
           nb::arg("values").none().noconvert())
      .def("attend", &Engine::attend, nb::arg("pieces"), nb::arg("tasks"), nb::arg("runs"), nb::arg("longest"),
           nb::arg("queries"), nb::arg("keys"), nb::arg("values"), nb::arg("kept"), nb::arg("mixed").noconvert())
      .def("finish", &Engine::finish, nb::arg("layer"), nb::arg("x").noconvert(), nb::arg("mixed"))
      .def("multiply", &Engine::multiply, nb::arg("matrix"), nb::arg("x"), nb::arg("out").noconvert())
      .def("quantise", &Engine::quantise, nb::arg("matrix"), nb::arg("group"), nb::arg("bytes").noconvert(),
           nb::arg("scales").noconvert())
      .def("spent", &Engine::spent);
}
