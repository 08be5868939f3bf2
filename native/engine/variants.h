// The variants of the kernels that this build holds, and which of them this processor runs.
#pragma once

#include <vector>

#include "kernels/table.h"

namespace engine {

// Best first.
std::vector<const kernels::Table*> built_variants();
std::vector<const kernels::Table*> usable_variants();

}  // namespace engine
