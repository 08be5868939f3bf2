// Runs every property, those of the kernels in every variant that this processor runs. `native_tests WORDS ...` runs those
// whose sentence holds one of the WORDS or whose variant is one, `native_tests -WORDS ...` those of which none does.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <vector>

#include "check.h"
#include "emulated_tiles.h"
#include "transformer/variants.h"

namespace {

constexpr int64_t kShownFailures = 10;

// The variants of the build, and tiles in plain C++.
std::vector<const kernels::KernelTable*> with_emulated(std::vector<const kernels::KernelTable*> variants) {
  variants.push_back(&kernels::kEmulatedTiles);
  return variants;
}

int64_t checks = 0;
int64_t failures = 0;
const char* running[] = {"", ""};

std::vector<check::Property>& properties() {
  static std::vector<check::Property> all;
  return all;
}

void fail(const char* format, va_list arguments) {
  failures++;
  if (failures > kShownFailures) return;
  printf("    ");
  vprintf(format, arguments);
  printf("\n");
}

// The fence behind an array: says which property it was, as far as a signal's handler may say anything.
[[maybe_unused]] void crash(int number) {
  for (const char* each : {"FAIL ", running[0], " ", running[1], ": a kernel went beyond its array or crashed\n"})
    if (write(1, each, strlen(each)) < 0) break;
  signal(number, SIG_DFL);
  raise(number);
}

// Whether all of it held.
template <typename KvRange>
bool tell(const char* variant, const char* sentence, const KvRange& run) {
  checks = failures = 0;
  running[0] = variant, running[1] = sentence;
  const auto start = std::chrono::steady_clock::now();
  run();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool passed = failures == 0 && checks > 0;
  printf("%s %-11s %s (%lld checks, %.2f s)\n", passed ? "ok  " : "FAIL", variant, sentence,
         static_cast<long long>(checks), seconds);
  if (failures > kShownFailures) printf("    and %lld more\n", static_cast<long long>(failures - kShownFailures));
  fflush(stdout);
  return passed;
}

}  // namespace

namespace check {

Registration::Registration(const char* sentence, void (*run)()) { properties().push_back({sentence, run, nullptr}); }
Registration::Registration(const char* sentence, void (*run_variant)(const kernels::KernelTable& table)) {
  properties().push_back({sentence, nullptr, run_variant});
}

void holds(bool condition, const char* format, ...) {
  checks++;
  if (condition) return;
  va_list arguments;
  va_start(arguments, format);
  fail(format, arguments);
  va_end(arguments);
}

void near(double actual, double expected, double bound, const char* format, ...) {
  checks++;
  if (std::isnan(expected) ? std::isnan(actual)
                           : actual == expected || std::fabs(actual - expected) <= bound)
    return;
  va_list arguments;
  va_start(arguments, format);
  fail(format, arguments);
  va_end(arguments);
  if (failures <= kShownFailures)
    printf("      %.9g came, expected %.9g within %.3g: off by %.3g\n", actual, expected, bound, actual - expected);
}

void same_bits(const void* actual, const void* expected, int64_t bytes, const char* format, ...) {
  checks++;
  if (memcmp(actual, expected, bytes) == 0) return;
  va_list arguments;
  va_start(arguments, format);
  fail(format, arguments);
  va_end(arguments);
}

}  // namespace check

int main(int count, char** words) {
  const bool without = count > 1 && words[1][0] == '-';
  const auto wanted = [&](const char* variant, const char* sentence) {
    bool named = count < 2;
    for (int i = 1; i < count; i++) {
      const char* word = words[i] + without;
      named = named || strstr(sentence, word) != nullptr || strcmp(variant, word) == 0;
    }
    return named != (without && count > 1);
  };
  const std::vector<const kernels::KernelTable*> usable = with_emulated(transformer::usable_variants());
  for (const kernels::KernelTable* table : transformer::built_variants()) {
    bool kv_ranges = false;
    for (const kernels::KernelTable* each : usable) kv_ranges = kv_ranges || each == table;
    if (!kv_ranges) printf("skip %-11s this processor does not run it\n", table->name);
  }
#ifndef __SANITIZE_ADDRESS__  // which tells more
  signal(SIGSEGV, crash);
  signal(SIGBUS, crash);
#endif
  bool passed = true, any = false;
  for (const check::Property& property : properties()) {
    if (property.run && wanted("", property.sentence)) {
      passed &= tell("", property.sentence, property.run);
      any = true;
    }
    for (const kernels::KernelTable* table : usable)
      if (property.run_variant && wanted(table->name, property.sentence)) {
        passed &= tell(table->name, property.sentence, [&] { property.run_variant(*table); });
        any = true;
      }
  }
  printf(passed && any ? "all held\n" : "FAILED\n");
  return passed && any ? 0 : 1;
}
