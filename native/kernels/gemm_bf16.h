// The product of activations in planes of bfloat16 and weights in bfloat16, with sums in float32.
//
// A block of weights, up to 1,024 inputs of all columns, is packed once for all tokens and stays in the second-level cache.
// Blocks of 128 tokens pass by it, and their sums are handed on while they are there as well. Every sum adds inputs in the same order, and
// planes of 32 inputs one after the other, whatever else is computed.
#pragma once

#include "kernels/kernels.h"
#include "kernels/pack_bf16.h"

namespace {

constexpr int64_t kBf16MR = kTileRows;
constexpr int64_t kBf16NR = 32;
// Inputs of a block of weights, in steps of 32.
constexpr int64_t kBlockSteps = 32;
// Micropanels of A in a block of tokens.
constexpr int64_t kBlockPanels = 8;
// Steps that a microkernel takes at once. With one plane a micropanel of A then stays in the first-level cache; with more
// planes it does not fit there, and sums are loaded and stored less often instead.
template <int planes> constexpr int64_t kMicrokernelSteps = planes == 1 ? 16 : 32;

inline int64_t block_steps(int64_t inputs) {
  const int64_t steps = tiles_of(inputs), blocks = (steps + kBlockSteps - 1) / kBlockSteps;
  return (steps + blocks - 1) / blocks;
}

// Bytes of scratch that gemm_bf16 needs.
int64_t gemm_bf16_scratch(int64_t inputs, int64_t columns) { return columns * block_steps(inputs) * kTileInputs * 2; }

// Bf16Registers and bf16_microkernel are the variant's own. The first is there while a product runs.
//   void bf16_microkernel<panels, planes, b_planes>(a, panel_stride, b, steps, c, stride, accumulate, ahead, lines)
//     C = A B or, with `accumulate`, C += A B, over `steps` tiles of 32 inputs
//     a: micropanels of 16 tokens, (steps, planes, 16, 32) each, `panel_stride` numbers apart;
//     b (steps, b_planes, 2, 16 pairs, 16, 2); c (panels * 16, 32), rows `stride` apart;
//     for each step and panel `lines` cache lines are fetched to the second-level cache, `ahead` numbers from A on
template <int planes, typename Matrix, typename PackTile>
void gemm_planes(const uint16_t* packed, int64_t panels, const Matrix* const* matrices, int64_t count,
                 const PackTile& pack_tile, int64_t first, int64_t columns, const kernels::RowsDone& done, float* sums,
                 uint16_t* scratch) {
  [[maybe_unused]] const Bf16Registers registers;
  const int64_t inputs = matrices[0]->inputs, all_steps = tiles_of(inputs), block = block_steps(inputs);
  const int64_t stride = count * columns, number = stride / kBf16NR, panel_stride = all_steps * planes * kTile;
  // Cache lines of a tile of every plane, in equal shares for the micropanels of B.
  const int64_t lines = (planes * kTile / 32 + number - 1) / number;
  constexpr int64_t kSteps = kMicrokernelSteps<planes>;
  // Numbers from the beginning of `packed` on.
  const auto place = [&](int64_t panel, int64_t step) { return panel * panel_stride + step * planes * kTile; };
  for (int64_t block_first = 0; block_first < all_steps; block_first += block) {
    const int64_t block_last = all_steps - block_first < block ? all_steps : block_first + block;
    const auto steps_from = [&](int64_t step) { return block_last - step < kSteps ? block_last - step : kSteps; };
    uint16_t* b = scratch;
    for (int64_t step = block_first; step < block_last; step += kSteps)
      for (int64_t i = 0; i < count; i++, b += columns * kTileInputs * steps_from(step))
        pack_weights_bf16(*matrices[i], pack_tile, first, columns, step, steps_from(step), b);
    for (int64_t first_panel = 0; first_panel < panels; first_panel += kBlockPanels) {
      const int64_t last_panel = panels - first_panel < kBlockPanels ? panels : first_panel + kBlockPanels;
      // With one block of weights the sums of all blocks of tokens take the same place.
      float* own_sums = sums + (block == all_steps ? 0 : first_panel * kBf16MR * stride);
      b = scratch;
      for (int64_t step = block_first; step < block_last; step += kSteps) {
        const int64_t steps = steps_from(step);
        for (int64_t panel = first_panel; panel < last_panel; panel += 2) {
          const int64_t next = panel + 2 < last_panel      ? place(panel + 2, step)
                               : step + kSteps < block_last ? place(first_panel, step + kSteps)
                                                            : place(last_panel, block_first);
          for (int64_t column = 0; column < number; column++) {
            float* c = own_sums + (panel - first_panel) * kBf16MR * stride + column * kBf16NR;
            const int64_t ahead = next - place(panel, step) + column * lines * 32;
            (panel + 1 < panels ? bf16_microkernel<2, planes, 1> : bf16_microkernel<1, planes, 1>)(
                packed + place(panel, step), panel_stride, b + column * steps * 2 * kTile, steps, c, stride, step > 0,
                ahead, lines);
          }
        }
        b += stride * kTileInputs * steps;
      }
      if (block_last == all_steps) done.call(done.context, first_panel, last_panel - first_panel, own_sums);
    }
  }
}

// Panels whose sums are held at once.
int64_t bf16_sum_panels(int64_t inputs, int64_t panels) {
  return block_steps(inputs) == tiles_of(inputs) && panels > kBlockPanels ? kBlockPanels : panels;
}

void gemm_bf16(const void* packed, int64_t panels, int64_t planes, const kernels::StoredMatrix* const* matrices,
               int64_t count, int64_t first, int64_t columns, const kernels::RowsDone& done, float* sums,
               void* scratch) {
  with_planes(planes, [&](auto constant) {
    gemm_planes<constant>(static_cast<const uint16_t*>(packed), panels, matrices, count, pack_weight_tile, first,
                          columns, done, sums, static_cast<uint16_t*>(scratch));
  });
}

}  // namespace
