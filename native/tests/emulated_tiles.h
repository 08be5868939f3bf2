// The variant "amx" with its tiles in plain C++.
#pragma once

#include "kernels/kernels.h"

namespace kernels {
extern const KernelTable kEmulatedTiles;
}  // namespace kernels
