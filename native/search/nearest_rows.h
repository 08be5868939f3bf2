// The exact scan of stored vectors: of the rows named, those with the best scores, whatever the number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace search {

struct ScoredRow {
  int64_t row;
  float score;
};

// At most `count`, best first, of equal scores the lower row first; NaN counts as minus infinity.
// numbers (named): of the rows; query (columns)
std::vector<ScoredRow> nearest_rows(const kernels::KernelTable& table, const kernels::Int8Rows& rows,
                                    const int64_t* numbers, int64_t named, const int16_t* query, int64_t count,
                                    int64_t threads);

}  // namespace search
