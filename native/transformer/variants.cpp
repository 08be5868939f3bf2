#include "transformer/variants.h"

namespace kernels {
#ifdef KERNELS_AMX
extern const KernelTable kAmx;
#endif
#ifdef KERNELS_X86
extern const KernelTable kAvx512Vnni, kAvx2;
#endif
#ifdef KERNELS_NEON
extern const KernelTable kNeonDot;
#endif
extern const KernelTable kPortable;
}  // namespace kernels

namespace transformer {

std::vector<const kernels::KernelTable*> built_variants() {
  return {
#ifdef KERNELS_AMX
      &kernels::kAmx,
#endif
#ifdef KERNELS_X86
      &kernels::kAvx512Vnni, &kernels::kAvx2,
#endif
#ifdef KERNELS_NEON
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
