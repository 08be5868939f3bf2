// The tile registers of AMX in plain C++: the same bits, as Intel's manual defines them (TDPBF16PS).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "kernels/float16.h"

namespace {

struct TileRegisters {
  TileRegisters() {}
};

thread_local uint8_t tile_bytes[8][16][64];

template <int tile> inline void zero_tile() { memset(tile_bytes[tile], 0, sizeof(tile_bytes[tile])); }
template <int tile>
inline void load_tile(const void* from, int64_t stride) {
  for (int64_t row = 0; row < 16; row++)
    memcpy(tile_bytes[tile][row], static_cast<const uint8_t*>(from) + row * stride, 64);
}
template <int tile> inline void load_passing_tile(const void* from, int64_t stride) { load_tile<tile>(from, stride); }
template <int tile>
inline void store_tile(void* to, int64_t stride) {
  for (int64_t row = 0; row < 16; row++) memcpy(static_cast<uint8_t*>(to) + row * stride, tile_bytes[tile][row], 64);
}

// Numbers too small for a full mantissa count as zero, where they are read and where they come out.
inline float flushed(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }

// What sanitizers look for cannot be in it, and they would take most of the tests' time.
#if defined(__GNUC__)
#define NOT_SANITIZED __attribute__((no_sanitize("address", "undefined")))
#else
#define NOT_SANITIZED
#endif

// A tile of bfloat16 in float32; returns its largest finite magnitude.
NOT_SANITIZED inline float widened_tile(const uint8_t tile[16][64], float to[16][32]) {
  float largest = 0.0f;
  for (int64_t row = 0; row < 16; row++)
    for (int64_t i = 0; i < 32; i++) {
      uint16_t bits;
      memcpy(&bits, tile[row] + 2 * i, sizeof(bits));
      to[row][i] = flushed(kernels::f32_from_bits(static_cast<uint32_t>(bits) << 16));
      if (std::isfinite(to[row][i])) largest = std::max(largest, std::fabs(to[row][i]));
    }
  return largest;
}

template <int sums, int a, int b>
NOT_SANITIZED inline void multiply_tiles() {
  float x[16][32], weights[16][32], total[16][16];
  const float product = widened_tile(tile_bytes[a], x) * widened_tile(tile_bytes[b], weights);
  memcpy(total, tile_bytes[sums], sizeof(total));
  for (int64_t row = 0; row < 16; row++) {
    float even[16] = {}, odd[16] = {};
    for (int64_t pair = 0; pair < 16; pair++) {
      const float first = x[row][2 * pair], second = x[row][2 * pair + 1];
      if (std::isfinite(product))
        // The product of two bfloat16 numbers is exact, so that nothing is rounded before the addition.
        for (int64_t column = 0; column < 16; column++) {
          even[column] = flushed(even[column] + first * weights[pair][2 * column]);
          odd[column] = flushed(odd[column] + second * weights[pair][2 * column + 1]);
        }
      else
        for (int64_t column = 0; column < 16; column++) {
          even[column] = flushed(std::fma(first, weights[pair][2 * column], even[column]));
          odd[column] = flushed(std::fma(second, weights[pair][2 * column + 1], odd[column]));
        }
    }
    for (int64_t column = 0; column < 16; column++)
      total[row][column] = flushed(flushed(total[row][column]) + flushed(even[column] + odd[column]));
  }
  memcpy(tile_bytes[sums], total, sizeof(total));
}

}  // namespace
