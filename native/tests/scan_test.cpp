// The exact scan of stored vectors.
#include <algorithm>
#include <cmath>
#include <utility>

#include "check.h"
#include "samples.h"
#include "search/nearest_rows.h"

namespace {

using samples::Fenced;
using samples::Random;

constexpr int16_t kLargestCode = 32767;

// Rows of a scale and bytes, right behind one another as a file holds them.
struct StoredRows {
  StoredRows(int64_t count, int64_t columns, Random& random)
      : columns(columns), stride(columns + 4), bytes(count * stride), scales(count) {
    for (int64_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(random.between(0, 255));
    // Few scales, so that many rows of few columns have equal scores.
    for (int64_t row = 0; row < count; row++) put_scale(row, 0.25f * static_cast<float>(random.between(1, 3)));
  }
  void put_scale(int64_t row, float scale) {
    scales[row] = scale;
    memcpy(bytes.data() + row * stride, &scale, sizeof(scale));
  }
  float score(int64_t row, const Fenced<int16_t>& query) const {
    int64_t sum = 0;
    for (int64_t c = 0; c < columns; c++) sum += static_cast<int8_t>(bytes[row * stride + 4 + c]) * int64_t{query[c]};
    return static_cast<float>(sum) * scales[row];
  }
  kernels::Int8Rows all() const { return {bytes.data(), stride, columns}; }

  const int64_t columns, stride;
  Fenced<uint8_t> bytes;
  std::vector<float> scales;
};

Fenced<int16_t> make_query(int64_t columns, int64_t largest, Random& random) {
  std::vector<int16_t> query(columns);
  for (int16_t& each : query) each = static_cast<int16_t>(random.between(-largest, largest));
  return Fenced<int16_t>(query);
}

std::vector<int64_t> some_rows(int64_t count, int64_t one_of, Random& random) {
  std::vector<int64_t> numbers;
  for (int64_t row = 0; row < count; row++)
    if (random.between(1, one_of) == 1) numbers.push_back(row);
  return numbers;
}

VARIANT_PROPERTY("a score is the exact sum of the row times the query, times the row's scale, in any width and place") {
  Random random(51);
  for (const int64_t columns : {1, 7, 8, 15, 16, 31, 64, 100, 256, 511}) {
    const StoredRows rows(37, columns, random);
    const Fenced<int16_t> query = make_query(columns, kLargestCode, random);
    const Fenced<int64_t> numbers(some_rows(37, 2, random));
    Fenced<float> scores(numbers.size());
    table.scan_int8(rows.all(), numbers.data(), numbers.size(), query.data(), scores.data());
    for (int64_t i = 0; i < numbers.size(); i++) {
      const float expected = rows.score(numbers[i], query);
      check::same_bits(&scores[i], &expected, sizeof(float), "%d columns, row %d", int(columns), int(numbers[i]));
    }
  }
}

VARIANT_PROPERTY("the largest sums of 32 bits are exact") {
  Random random(52);
  StoredRows rows(2, 511, random);
  for (int64_t c = 0; c < 511; c++) rows.bytes[4 + c] = 0x80, rows.bytes[rows.stride + 4 + c] = 0x7f;
  const Fenced<int16_t> query(std::vector<int16_t>(511, -kLargestCode));
  const Fenced<int64_t> numbers(std::vector<int64_t>{0, 1});
  Fenced<float> scores(2);
  table.scan_int8(rows.all(), numbers.data(), 2, query.data(), scores.data());
  for (int64_t row = 0; row < 2; row++) {
    const float expected = rows.score(row, query);
    check::same_bits(&scores[row], &expected, sizeof(float), "row %d", int(row));
  }
}

VARIANT_PROPERTY("the best rows are those of a full sort, ties by their number, whatever the number of threads") {
  Random random(53);
  for (const int64_t count : {0, 1, 50, 5000, 20000})
    for (const int64_t one_of : {1, 3}) {
      StoredRows rows(count, 3, random);
      if (count > 10) rows.put_scale(5, samples::kNan), rows.put_scale(6, samples::kInfinity);
      const Fenced<int16_t> query = make_query(3, 2, random);
      const std::vector<int64_t> numbers = some_rows(count, one_of, random);
      std::vector<std::pair<float, int64_t>> expected;
      for (const int64_t row : numbers) {
        const float score = rows.score(row, query);
        expected.emplace_back(std::isnan(score) ? samples::kInfinity : -score, row);
      }
      std::sort(expected.begin(), expected.end());
      for (const int64_t threads : {1, 2, 5})
        for (const int64_t wanted : {0, 1, 40, 30000}) {
          const std::vector<search::ScoredRow> found = search::nearest_rows(
              table, rows.all(), numbers.data(), static_cast<int64_t>(numbers.size()), query.data(), wanted, threads);
          bool same = found.size() == std::min(expected.size(), static_cast<size_t>(wanted));
          for (size_t i = 0; same && i < found.size(); i++)
            same = found[i].row == expected[i].second && found[i].score == -expected[i].first;
          check::holds(same, "%d of %d rows, %d threads", int(wanted), int(numbers.size()), int(threads));
        }
    }
}

}  // namespace
