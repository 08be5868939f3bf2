// The tile registers of AMX in plain C++: the same bits, as Intel's manual defines them (TDPBF16PS).
#pragma once

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

template <int sums, int a, int b>
inline void multiply_tiles() {
  const auto value = [](const uint8_t* row, int64_t index) {
    uint16_t bits;
    memcpy(&bits, row + 2 * index, sizeof(bits));
    return flushed(kernels::f32_from_bits(static_cast<uint32_t>(bits) << 16));
  };
  float total[16][16];
  memcpy(total, tile_bytes[sums], sizeof(total));
  for (int64_t row = 0; row < 16; row++)
    for (int64_t column = 0; column < 16; column++) {
      float even = 0.0f, odd = 0.0f;
      for (int64_t pair = 0; pair < 16; pair++) {
        const uint8_t *x = tile_bytes[a][row], *weights = tile_bytes[b][pair];
        even = flushed(std::fma(value(x, 2 * pair), value(weights, 2 * column), even));
        odd = flushed(std::fma(value(x, 2 * pair + 1), value(weights, 2 * column + 1), odd));
      }
      total[row][column] = flushed(flushed(total[row][column]) + flushed(even + odd));
    }
  memcpy(tile_bytes[sums], total, sizeof(total));
}

}  // namespace
