// What a 64-bit ARM processor has beyond ARMv8.0, as the operating system tells.
#pragma once

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace {

// entry, bit: of Linux's auxiliary vector, where 16 is HWCAP and 26 HWCAP2; name: of Apple's sysctl.
inline bool has_feature([[maybe_unused]] unsigned long entry, [[maybe_unused]] int bit,
                        [[maybe_unused]] const char* name) {
#if defined(__linux__)
  return getauxval(entry) >> bit & 1;
#elif defined(__APPLE__)
  int has = 0;
  size_t size = sizeof(has);
  return sysctlbyname(name, &has, &size, nullptr, 0) == 0 && has;
#else
  return false;
#endif
}

}  // namespace
