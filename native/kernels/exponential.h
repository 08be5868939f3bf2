// exp of every lane, within two units in the last place; exactly 0 for -inf and below -87.3, inf above 88.8, NaN for
// NaN. What is smaller has no full mantissa, and some processors take 80 times as long to make it.
#pragma once

namespace {

// Cody and Waite's reduction with the polynomial of the Cephes library's expf.
inline Floats exponential(Floats x) {
  const Floats smallest = broadcast(-87.33654f), given = x;
  // The bounds come first in both calls, as the second argument wins when one of them is NaN.
  x = minimum(broadcast(89.0f), maximum(smallest, x));
  const Floats n = round_to_nearest(multiply(x, broadcast(1.44269504088896341f)));
  Floats r = multiply_add(n, broadcast(-0.693359375f), x);
  r = multiply_add(n, broadcast(2.12194440e-4f), r);
  Floats p = broadcast(1.9875691500e-4f);
  p = multiply_add(p, r, broadcast(1.3981999507e-3f));
  p = multiply_add(p, r, broadcast(8.3334519073e-3f));
  p = multiply_add(p, r, broadcast(4.1665795894e-2f));
  p = multiply_add(p, r, broadcast(1.6666665459e-1f));
  p = multiply_add(p, r, broadcast(5.0000001201e-1f));
  p = multiply_add(p, multiply(r, r), add(r, broadcast(1.0f)));
  return zero_where_less(scale_by_power_of_two(p, n), given, smallest);
}

}  // namespace
