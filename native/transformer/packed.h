// Activations of a chunk of tokens in micropanels, as the product with a matrix takes them.
#pragma once

#include <cstdint>
#include <functional>
#include <new>
#include <vector>

#include "kernels/kernels.h"
#include "transformer/matrix.h"

namespace transformer {

// Whole cache lines: a tile's rows would otherwise lie in two each.
template <typename Value>
struct CacheLineAllocator {
  using value_type = Value;
  static constexpr std::align_val_t kAlignment{64};

  CacheLineAllocator() = default;
  template <typename Other> CacheLineAllocator(const CacheLineAllocator<Other>&) {}
  Value* allocate(std::size_t count) {
    return static_cast<Value*>(::operator new(count * sizeof(Value), kAlignment));
  }
  void deallocate(Value* values, std::size_t) { ::operator delete(values, kAlignment); }
  template <typename Other> bool operator==(const CacheLineAllocator<Other>&) const { return true; }
  template <typename Other> bool operator!=(const CacheLineAllocator<Other>&) const { return false; }
};
template <typename Value> using Array = std::vector<Value, CacheLineAllocator<Value>>;

// How a variant multiplies a matrix: which of its products, and the sizes that follow from it.
class Gemm {
 public:
  Gemm(const kernels::KernelTable& table, const Matrix& matrix);

  int64_t inputs() const { return matrix_.inputs(); }
  int64_t nr() const;            // outputs of a micropanel of weights
  int64_t panel_tokens() const;  // tokens of a micropanel of activations
  int64_t chunk_tokens() const;  // tokens that one product takes at once
  // Outputs of each of `together` matrices that are best multiplied at once.
  int64_t columns(int64_t together = 1) const;
  // Of a product of `panels` micropanels with `columns` outputs, of all its matrices together.
  int64_t sum_floats(int64_t panels, int64_t columns) const;
  int64_t scratch_floats(int64_t columns) const;
  int64_t packed_bytes(int64_t tokens) const;
  // Planes of bfloat16 in which attention is computed beside this product; 0: float32.
  int64_t attention_planes() const;

 private:
  friend class Packed;
  enum class Kind { kF32, kBf16, kInt8 };

  int64_t panels(int64_t tokens) const { return (tokens + panel_tokens() - 1) / panel_tokens(); }
  int64_t groups() const;

  const kernels::KernelTable& table_;
  const Matrix& matrix_;
  Kind kind_;
  int64_t planes_;
};

class Packed {
 public:
  // Room for as many tokens; what it held is lost.
  void reserve(const Gemm& gemm, int64_t tokens);
  // Columns first..first+columns of rows row..row+rows, where `row` begins a micropanel and `first` a group.
  // x (rows, columns), rows `stride` apart
  void pack(const Gemm& gemm, const float* x, int64_t stride, int64_t row, int64_t rows, int64_t first,
            int64_t columns);
  // RMSNorm, then pack of whole rows. weight (inputs); scratch (inputs)
  void rmsnorm_pack(const Gemm& gemm, const float* x, int64_t stride, int64_t row, int64_t rows, const float* weight,
                    float epsilon, float* scratch);
  // The same outputs of several matrices, first..first+columns, of `panels` micropanels from row `row` on.
  // done(first row, rows, sums, stride, between): rows as they are done, counted from `row` on, `stride` numbers apart,
  // and the numbers from a matrix's sums to the next one's; sums: sum_floats; scratch: scratch_floats
  using Done = std::function<void(int64_t row, int64_t rows, float* sums, int64_t stride, int64_t between)>;
  void multiply(const std::vector<Gemm>& gemms, int64_t row, int64_t panels, int64_t first, int64_t columns,
                const Done& done, float* sums, float* scratch);

 private:
  kernels::Int8Activations int8_from(const Gemm& gemm, int64_t row);
  void* bytes_from(const Gemm& gemm, int64_t row);

  // Of 8 bits there are also scales and offsets. Written by several threads at once, each to rows of its own.
  Array<uint8_t> bytes_;
  Array<float> scales_;
  Array<int32_t> offsets_;
};

}  // namespace transformer
