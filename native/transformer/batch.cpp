#include "transformer/batch.h"

#include <algorithm>
#include <stdexcept>

namespace transformer {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

}  // namespace

void Batch::check() const {
  std::vector<int64_t> lengths;
  for (const SourceRange& range : kv_ranges) {
    require(range.source >= 0 && range.source <= static_cast<int64_t>(kv_cache.size()), "a kv range has no source");
    const int64_t held = range.source ? kv_cache[range.source - 1].tokens : tokens;
    require(range.first >= 0 && range.tokens >= 0 && range.tokens <= held && range.first <= held - range.tokens,
            "a kv range ends after its source");
    lengths.push_back(range.tokens);
  }
  const auto check_block = [&](const kernels::QueryBlock& block, int64_t query_tokens) {
    require(block.segment_start >= 0 && block.segment_start <= block.start && block.start < block.stop &&
                block.stop <= tokens && block.query >= 0 && block.query <= query_tokens - (block.stop - block.start) &&
                block.first_range >= 0 && block.first_range <= block.last_range &&
                block.last_range <= static_cast<int64_t>(lengths.size()),
            "a query block is outside of the batch");
    int64_t seqlen_k = block.stop - block.segment_start;
    for (int64_t range = block.first_range; range < block.last_range; range++) seqlen_k += lengths[range];
    require(seqlen_k <= max_seqlen_k, "a query block sees more than max_seqlen_k tokens");
  };
  for (const kernels::QueryBlock& block : all_queries) check_block(block, tokens);
  for (const kernels::QueryBlock& block : leaf_queries) {
    require(block.stop - block.start == 1, "a block of a leaf has one query");
    check_block(block, static_cast<int64_t>(leaf_queries.size()));
  }
  require(!work_items.empty() && work_items.front() == 0 &&
              work_items.back() == static_cast<int64_t>(all_queries.size()) &&
              std::is_sorted(work_items.begin(), work_items.end()),
          "work items must rise and cover the query blocks");
  for (const NewKv& each : new_kv)
    require(each.start >= 0 && each.tokens >= 0 && each.tokens <= tokens && each.start <= tokens - each.tokens,
            "new keys and values are outside of the batch");
}

}  // namespace transformer
