// The check of a batch, before anything is read or written.
#include "transformer/batch.h"

#include <functional>
#include <stdexcept>
#include <vector>

#include "check.h"

namespace {

PROPERTY("a batch that would read or write outside of its arrays is refused") {
  transformer::Batch good;
  good.tokens = 4, good.max_seqlen_k = 6;
  good.all_queries = {{0, 0, 4, 0, 0, 1}}, good.work_items = {0, 1}, good.leaf_queries = {{0, 3, 4, 0, 0, 1}};
  good.kv_cache = {{nullptr, 2}}, good.kv_ranges = {{1, 0, 2}}, good.new_kv = {{nullptr, 1, 3}};
  const auto refused = [](const transformer::Batch& batch) {
    try {
      batch.check();
      return false;
    } catch (const std::invalid_argument&) {
      return true;
    }
  };
  check::holds(!refused(good), "a good batch");
  const std::vector<std::function<void(transformer::Batch&)>> faults = {
      [](auto& batch) { batch.kv_ranges[0].source = 2; },      [](auto& batch) { batch.kv_ranges[0].first = 1; },
      [](auto& batch) { batch.kv_ranges[0].tokens = -1; },     [](auto& batch) { batch.all_queries[0].stop = 5; },
      [](auto& batch) { batch.all_queries[0].query = 1; },     [](auto& batch) { batch.all_queries[0].last_range = 2; },
      [](auto& batch) { batch.all_queries[0].start = -1; },    [](auto& batch) { batch.all_queries[0].stop = 0; },
      [](auto& batch) { batch.leaf_queries[0].start = 2; },    [](auto& batch) { batch.leaf_queries[0].query = 1; },
      [](auto& batch) { batch.work_items = {0, 2}; },          [](auto& batch) { batch.work_items = {}; },
      [](auto& batch) { batch.new_kv[0].start = 2; },          [](auto& batch) { batch.new_kv[0].start = -1; },
      [](auto& batch) { batch.max_seqlen_k = 5; }};
  for (size_t i = 0; i < faults.size(); i++) {
    transformer::Batch bad = good;
    faults[i](bad);
    check::holds(refused(bad), "fault %d", int(i));
  }
}

}  // namespace
