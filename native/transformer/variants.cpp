#include "transformer/variants.h"

#include <algorithm>

namespace kernels {
extern const KernelTable kAmx, kAvx512Bf16, kAvx512Vnni, kAvxVnni, kAvx2, kNeonBf16, kNeonI8mm, kNeonDot, kPortable;
}  // namespace kernels

namespace transformer {

std::vector<const kernels::KernelTable*> built_variants() {
  std::vector<const kernels::KernelTable*> variants = {
#ifdef KERNELS_AMX
      &kernels::kAmx,
#endif
#ifdef KERNELS_AVX512_BF16
      &kernels::kAvx512Bf16,
#endif
#ifdef KERNELS_AVX512_VNNI
      &kernels::kAvx512Vnni,
#endif
#ifdef KERNELS_AVX_VNNI
      &kernels::kAvxVnni,
#endif
#ifdef KERNELS_AVX2
      &kernels::kAvx2,
#endif
#ifdef KERNELS_NEON_BF16
      &kernels::kNeonBf16,
#endif
#ifdef KERNELS_NEON_I8MM
      &kernels::kNeonI8mm,
#endif
#ifdef KERNELS_NEON_DOT
      &kernels::kNeonDot,
#endif
      &kernels::kPortable};
#if defined(KERNELS_AVX512_BF16) && defined(KERNELS_AVX512_VNNI)
  // Intel's Xeons multiply pairs of bfloat16 a quarter as often as float32: there this variant comes second.
  __builtin_cpu_init();
  if (__builtin_cpu_is("intel"))
    std::iter_swap(std::find(variants.begin(), variants.end(), &kernels::kAvx512Bf16),
                   std::find(variants.begin(), variants.end(), &kernels::kAvx512Vnni));
#endif
  return variants;
}

std::vector<const kernels::KernelTable*> usable_variants() {
  std::vector<const kernels::KernelTable*> usable;
  for (const kernels::KernelTable* table : built_variants())
    if (table->supported()) usable.push_back(table);
  return usable;
}

}  // namespace transformer
