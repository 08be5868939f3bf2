// The variants of the kernels that this build holds, and which of them this processor runs.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace transformer {

// Best first.
std::vector<const kernels::KernelTable*> built_variants();
std::vector<const kernels::KernelTable*> usable_variants();

}  // namespace transformer
