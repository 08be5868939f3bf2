#include "transformer/variants.h"

namespace kernels {
extern const KernelTable kAmx, kAvx512Vnni, kAvxVnni, kAvx2, kNeonBf16, kNeonI8mm, kNeonDot, kPortable;
}  // namespace kernels

namespace transformer {

std::vector<const kernels::KernelTable*> built_variants() {
  return {
#ifdef KERNELS_AMX
      &kernels::kAmx,
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
}

std::vector<const kernels::KernelTable*> usable_variants() {
  std::vector<const kernels::KernelTable*> usable;
  for (const kernels::KernelTable* table : built_variants())
    if (table->supported()) usable.push_back(table);
  return usable;
}

}  // namespace transformer
