// The table of one variant; included last, by a file that has included its simd/ header and defined runs_here.
#pragma once

#include "kernels/attention.h"
#include "kernels/digit_product.h"
#include "kernels/float_product.h"
#include "kernels/quantise.h"
#include "kernels/rows.h"

namespace {

constexpr kernels::Table table_of(const char* name) {
  return kernels::Table{name,     runs_here, kFloatRows,     kFloatColumns,   kDigitRows, rms_norm, pack,
                        norm_pack, round,     norm_round,     multiply_float,  multiply_digits, add_rows, gated,
                        norm_rotate, attend,  attend_scratch, quantise};
}

}  // namespace
