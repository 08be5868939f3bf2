#include "engine/variants.h"

namespace kernels {
#ifdef KERNELS_X86
extern const Table kAvx512Vnni, kAvx2;
#endif
#ifdef KERNELS_NEON
extern const Table kNeonDot;
#endif
extern const Table kPortable;
}  // namespace kernels

namespace engine {

std::vector<const kernels::Table*> built_variants() {
  return {
#ifdef KERNELS_X86
      &kernels::kAvx512Vnni, &kernels::kAvx2,
#endif
#ifdef KERNELS_NEON
      &kernels::kNeonDot,
#endif
      &kernels::kPortable};
}

std::vector<const kernels::Table*> usable_variants() {
  std::vector<const kernels::Table*> usable;
  for (const kernels::Table* table : built_variants())
    if (table->runs_here()) usable.push_back(table);
  return usable;
}

}  // namespace engine
