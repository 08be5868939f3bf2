// x86-64 with AMX: Intel's Xeon from Sapphire Rapids. Products run on tiles, the rest on AVX-512.
#include "simd/avx512_bf16.h"
#include "simd/avx512_vnni.h"
#include "simd/tiles.h"
#include "simd/bf16_tiles.h"

#include <cpuid.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

// Whether the system saves tiles when it switches threads, and lets this process use them.
bool tiles_permitted() {
#ifdef __linux__
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool supported() {
  if (!has_avx512_vnni() || !__builtin_cpu_supports("avx512bf16")) return false;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kAmxBf16) && (d & kAmxTile) && tiles_permitted();
}

}  // namespace

#include "kernels/attention_bf16.h"
#include "kernels/gemm_int8_as_bf16.h"
#include "kernels/kernel_table.h"

namespace kernels {
extern const KernelTable kAmx;
const KernelTable kAmx = kernel_table("amx");
}  // namespace kernels
