#include "search/nearest_rows.h"

#include <algorithm>
#include <limits>

#include "transformer/thread_pool.h"

namespace search {
namespace {

// Rows of a task: few enough that threads end together, many enough that taking a task costs nothing beside them.
constexpr int64_t kTaskRows = 4096;

bool is_better(const ScoredRow& x, const ScoredRow& y) {
  return x.score > y.score || (x.score == y.score && x.row < y.row);
}

// The best `count` of the rows that were offered, in a heap whose front is the worst of them.
class BestRows {
 public:
  explicit BestRows(int64_t count) : count_(count) {}

  void offer(ScoredRow row) {
    if (row.score != row.score) row.score = -std::numeric_limits<float>::infinity();
    if (static_cast<int64_t>(rows.size()) == count_) {
      if (!is_better(row, rows.front())) return;
      std::pop_heap(rows.begin(), rows.end(), is_better);
      rows.back() = row;
    } else {
      rows.push_back(row);
    }
    std::push_heap(rows.begin(), rows.end(), is_better);
  }

  std::vector<ScoredRow> rows;

 private:
  int64_t count_;
};

}  // namespace

std::vector<ScoredRow> nearest_rows(const kernels::KernelTable& table, const kernels::Int8Rows& rows,
                                    const int64_t* numbers, int64_t named, const int16_t* query, int64_t count,
                                    int64_t threads) {
  if (count < 1) return {};
  const int64_t tasks = (named + kTaskRows - 1) / kTaskRows;
  // A pool of this call alone: its threads start in some ten microseconds, and no lock outlives a fork.
  transformer::ThreadPool pool(std::min(threads, tasks));
  std::vector<BestRows> best(pool.threads(), BestRows(count));
  std::vector<std::vector<float>> scores(pool.threads(), std::vector<float>(std::min(named, kTaskRows)));
  pool.run(tasks, [&](int64_t task, int64_t thread) {
    const int64_t first = task * kTaskRows, some = std::min(kTaskRows, named - first);
    float* to = scores[thread].data();
    table.scan_int8(rows, numbers + first, some, query, to);
    for (int64_t i = 0; i < some; i++) best[thread].offer({numbers[first + i], to[i]});
  });
  std::vector<ScoredRow> all;
  for (const BestRows& each : best) all.insert(all.end(), each.rows.begin(), each.rows.end());
  std::sort(all.begin(), all.end(), is_better);
  if (static_cast<int64_t>(all.size()) > count) all.resize(count);
  return all;
}

}  // namespace search
