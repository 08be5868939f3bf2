#include "transformer/packed.h"

#include <algorithm>

namespace transformer {
namespace {

// Enough tokens to repay the conversion of weights, few enough for second-level caches.
constexpr int64_t kChunkTokens = 512;
// A block of weights on tiles is in the second-level cache, where activations pass by.
constexpr int64_t kBf16ChunkTokens = 2048;
constexpr int64_t kBf16Columns = 256;

}  // namespace

Gemm::Gemm(const kernels::KernelTable& table, const Matrix& matrix) : table_(table), matrix_(matrix) {
  kind_ = matrix.is_int8 ? Kind::kInt8 : Kind::kF32;
  planes_ = matrix.planes;
  // Two planes of 8 bits are more exact than one of bfloat16.
  if (matrix.is_int8 ? table.bf16.gemm_int8 != nullptr && matrix.planes == 1 : matrix.planes > 0) {
    kind_ = Kind::kBf16;
  } else if (!matrix.is_int8 && matrix.layer_is_bf16 && table.bf16.float32_planes > 0) {
    kind_ = Kind::kBf16;
    planes_ = table.bf16.float32_planes;
  }
}

int64_t Gemm::nr() const {
  return kind_ == Kind::kF32 ? table_.f32_nr : kind_ == Kind::kBf16 ? table_.bf16.nr : kernels::kInt8NR;
}

int64_t Gemm::panel_tokens() const {
  return kind_ == Kind::kF32 ? table_.f32_mr : kind_ == Kind::kBf16 ? table_.bf16.mr : table_.int8_mr / planes_;
}

int64_t Gemm::chunk_tokens() const {
  return kind_ == Kind::kBf16 && table_.bf16.float32_planes ? kBf16ChunkTokens : kChunkTokens;
}

int64_t Gemm::columns(int64_t together) const {
  return kind_ == Kind::kBf16 && table_.bf16.float32_planes ? kBf16Columns / together : 2 * nr();
}

int64_t Gemm::sum_floats(int64_t panels, int64_t columns) const {
  const int64_t held = kind_ == Kind::kBf16 ? table_.bf16.sum_panels(matrix_.inputs(), panels) : panels;
  return held * panel_tokens() * columns;
}

int64_t Gemm::scratch_floats(int64_t columns) const {
  switch (kind_) {
    case Kind::kF32: return kernels::kF32KC * table_.f32_nr;
    case Kind::kBf16: return table_.bf16.scratch_bytes(matrix_.inputs(), columns) / int64_t{sizeof(float)};
    default: return kernels::kInt8NR * std::max<int64_t>(kernels::kInt8KC, matrix_.int8.group) / 2;
  }
}

int64_t Gemm::attention_planes() const {
  return kind_ == Kind::kBf16 && table_.bf16.float32_planes ? planes_ : 0;
}

int64_t Gemm::groups() const { return (matrix_.int8.inputs + matrix_.int8.group - 1) / matrix_.int8.group; }

int64_t Gemm::packed_bytes(int64_t tokens) const {
  switch (kind_) {
    case Kind::kF32: return panels(tokens) * table_.f32_mr * matrix_.inputs() * int64_t{sizeof(float)};
    case Kind::kBf16: return panels(tokens) * table_.bf16.panel_bytes(matrix_.inputs(), planes_);
    // A scale and an offset for each group.
    default: return panels(tokens) * groups() * table_.int8_mr * (matrix_.int8.group + 8);
  }
}

void Packed::reserve(const Gemm& gemm, int64_t tokens) {
  const auto grow = [](auto& array, int64_t size) {
    if (static_cast<int64_t>(array.size()) < size) array.resize(size);
  };
  if (gemm.kind_ != Gemm::Kind::kInt8) {
    grow(bytes_, gemm.packed_bytes(tokens));
    return;
  }
  const int64_t blocks = gemm.panels(tokens) * gemm.groups() * gemm.table_.int8_mr;
  grow(bytes_, blocks * gemm.matrix_.int8.group);
  grow(scales_, blocks);
  grow(offsets_, blocks);
}

void* Packed::bytes_from(const Gemm& gemm, int64_t row) { return bytes_.data() + gemm.packed_bytes(row); }

kernels::Int8Activations Packed::int8_from(const Gemm& gemm, int64_t row) {
  const int64_t blocks = row / gemm.panel_tokens() * gemm.groups(), mr = gemm.table_.int8_mr;
  return {reinterpret_cast<int8_t*>(bytes_.data()) + blocks * gemm.matrix_.int8.group * mr,
          scales_.data() + blocks * gemm.panel_tokens(), offsets_.data() + blocks * mr};
}

void Packed::pack(const Gemm& gemm, const float* x, int64_t stride, int64_t row, int64_t rows, int64_t first,
                  int64_t columns) {
  const kernels::KernelTable& table = gemm.table_;
  const int64_t inputs = gemm.matrix_.inputs();
  switch (gemm.kind_) {
    case Gemm::Kind::kF32:
      return table.pack_f32(x, stride, rows, columns, first, inputs, static_cast<float*>(bytes_from(gemm, row)));
    case Gemm::Kind::kBf16:
      return table.bf16.pack(x, stride, rows, columns, first, inputs, gemm.planes_, bytes_from(gemm, row));
    case Gemm::Kind::kInt8:
      return table.pack_int8(x, stride, rows, columns, first, gemm.matrix_.int8.group, gemm.groups(), gemm.planes_,
                             int8_from(gemm, row));
  }
}

void Packed::rmsnorm_pack(const Gemm& gemm, const float* x, int64_t stride, int64_t row, int64_t rows,
                          const float* weight, float epsilon, float* scratch) {
  const kernels::KernelTable& table = gemm.table_;
  const int64_t inputs = gemm.matrix_.inputs();
  switch (gemm.kind_) {
    case Gemm::Kind::kF32:
      return table.rmsnorm_pack_f32(x, stride, rows, inputs, weight, epsilon,
                                    static_cast<float*>(bytes_from(gemm, row)), scratch);
    case Gemm::Kind::kBf16:
      return table.bf16.rmsnorm_pack(x, stride, rows, inputs, weight, epsilon, gemm.planes_, bytes_from(gemm, row),
                                     scratch);
    case Gemm::Kind::kInt8:
      return table.rmsnorm_pack_int8(x, stride, rows, inputs, weight, epsilon, gemm.matrix_.int8.group, gemm.groups(),
                                     gemm.planes_, int8_from(gemm, row), scratch);
  }
}

void Packed::multiply(const std::vector<Gemm>& gemms, int64_t row, int64_t panels, int64_t first, int64_t columns,
                      const Done& done, float* sums, float* scratch) {
  const Gemm& any = gemms[0];
  const kernels::KernelTable& table = any.table_;
  const int64_t count = static_cast<int64_t>(gemms.size()), rows = any.panel_tokens();
  if (any.kind_ == Gemm::Kind::kBf16) {
    auto hand_on = [&](int64_t first_panel, int64_t some, float* from) {
      done(first_panel * rows, some * rows, from, count * columns, columns);
    };
    const kernels::RowsDone rows_done{[](void* context, int64_t first_panel, int64_t some, float* from) {
                                        (*static_cast<decltype(hand_on)*>(context))(first_panel, some, from);
                                      },
                                      &hand_on};
    const void* packed = bytes_from(any, row);
    if (any.matrix_.is_int8) {
      std::vector<const kernels::Int8Matrix*> matrices;
      for (const Gemm& gemm : gemms) matrices.push_back(&gemm.matrix_.int8);
      return table.bf16.gemm_int8(packed, panels, matrices.data(), count, first, columns, rows_done, sums, scratch);
    }
    std::vector<const kernels::StoredMatrix*> matrices;
    for (const Gemm& gemm : gemms) matrices.push_back(&gemm.matrix_.stored);
    return table.bf16.gemm(packed, panels, any.planes_, matrices.data(), count, first, columns, rows_done, sums,
                           scratch);
  }
  const int64_t size = panels * rows * columns;
  for (int64_t i = 0; i < count; i++) {
    const Matrix& matrix = gemms[i].matrix_;
    if (any.kind_ == Gemm::Kind::kF32)
      table.gemm_f32(static_cast<const float*>(bytes_from(any, row)), panels, matrix.stored, first, columns,
                     sums + i * size, columns, scratch);
    else
      table.gemm_int8(int8_from(any, row), panels, any.planes_, matrix.int8, first, columns, sums + i * size, columns,
                      scratch);
  }
  done(0, panels * rows, sums, columns, size);
}

}  // namespace transformer
