// The smallest test framework that serves: properties in sentences, each run once or once in every variant.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace check {

struct Property {
  const char* sentence;
  void (*run)();                                // of no variant in particular, or nullptr
  void (*run_variant)(const kernels::KernelTable& table);
};

// Registers itself.
struct Registration {
  Registration(const char* sentence, void (*run)());
  Registration(const char* sentence, void (*run_variant)(const kernels::KernelTable& table));
};

// Each counts one check, and a failure says where: the rest is a printf format.
__attribute__((format(printf, 2, 3))) void holds(bool condition, const char* format, ...);
// `actual` differs from `expected` by at most `bound`; NaN for NaN, infinity for infinity.
__attribute__((format(printf, 4, 5))) void near(double actual, double expected, double bound, const char* format, ...);
__attribute__((format(printf, 4, 5))) void same_bits(const void* actual, const void* expected, int64_t bytes,
                                                     const char* format, ...);

}  // namespace check

#define CHECK_JOIN_(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN_(a, b)
#define PROPERTY(sentence)                                                                              \
  static void CHECK_JOIN(property_, __LINE__)();                                                        \
  static const check::Registration CHECK_JOIN(registration_, __LINE__)(sentence, CHECK_JOIN(property_, __LINE__)); \
  static void CHECK_JOIN(property_, __LINE__)()
#define VARIANT_PROPERTY(sentence)                                                                      \
  static void CHECK_JOIN(property_, __LINE__)(const kernels::KernelTable& table);                             \
  static const check::Registration CHECK_JOIN(registration_, __LINE__)(sentence, CHECK_JOIN(property_, __LINE__)); \
  static void CHECK_JOIN(property_, __LINE__)(const kernels::KernelTable& table)
