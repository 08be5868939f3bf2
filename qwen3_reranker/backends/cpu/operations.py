"""The handful of operations a layer is made of, in numpy float32; native kernels can replace them one by one.

Shapes: T tokens, D hidden, G key/value heads, R query heads for each of them, E head_dim, I intermediate,
L tokens of one segment, Q of them that ask, P tokens of one run of ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Rows of the MLP computed at once: enough for the matrix product's full speed, few enough to stay small in memory.
_MLP_ROWS = 1024
# Floats of attention scores held at once, 64 MiB: a 32K-token row is computed in strips.
_MOST_SCORES = 16 * 1024 * 1024


def linear(x_TD: Floats, weight_OD: Floats) -> Floats:
    """Each token times a matrix stored as published, (outputs, inputs): (T, outputs)."""
    product: Floats = x_TD @ weight_OD.T
    return product


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Scale the last axis to a root mean square of 1, times a weight."""
    mean_square = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    scaled: Floats = x * (np.float32(1) / np.sqrt(mean_square + np.float32(eps)))
    scaled *= weight
    return scaled


def rotation(positions_T: NDArray[np.int32], head_dim: int, theta: float) -> tuple[Floats, Floats]:
    """Cosine and sine of each token's rotary angles, (T, head_dim / 2); float32 angles, as the models were trained."""
    half = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequency = np.float32(1.0) / np.float32(theta) ** half
    angle = positions_T.astype(np.float32)[:, None] * frequency
    return np.cos(angle), np.sin(angle)


def norm_rotate(x_THE: Floats, weight_E: Floats, eps: float, cos: Floats, sin: Floats) -> Floats:
    """QK-norm, then rotary positions, then heads first: (T, heads, E) -> (heads, T, E), contiguous."""
    normed_HTE = rms_norm(x_THE, weight_E, eps).swapaxes(0, 1)
    half = x_THE.shape[-1] // 2
    first, second = normed_HTE[..., :half], normed_HTE[..., half:]
    rotated = np.empty(normed_HTE.shape, dtype=np.float32)
    np.multiply(first, cos, out=rotated[..., :half])
    rotated[..., :half] -= second * sin
    np.multiply(second, cos, out=rotated[..., half:])
    rotated[..., half:] += first * sin
    return rotated


def mlp(x_TD: Floats, gate_up_2ID: Floats, down_DI: Floats) -> Floats:
    """SwiGLU: down(silu(gate(x)) * up(x)), in strips of tokens, (T, D)."""
    result_TD = np.empty_like(x_TD)
    inner = down_DI.shape[1]
    for start in range(0, len(x_TD), _MLP_ROWS):
        strip = slice(start, start + _MLP_ROWS)
        both = linear(x_TD[strip], gate_up_2ID)
        gate, up = both[:, :inner], both[:, inner:]
        with np.errstate(over="ignore"):  # exp of a large number is inf, and x / inf is the right 0
            up *= gate / (np.float32(1) + np.exp(-gate))
        np.matmul(up, down_DI.T, out=result_TD[strip])
    return result_TD


def attend(
    q_GRQE: Floats,
    k_GLE: Floats,
    v_GLE: Floats,
    ancestors: Sequence[tuple[Floats, Floats]],
    most_scores: int = _MOST_SCORES,
) -> Floats:
    """Attention of a segment's last Q tokens over [ancestors | own], causal in the own part: (G, R, Q, E).

    ancestors: keys and values (G, P, E) of the runs above, from the root down; every asking token sees all of them.
    most_scores: floats held at once; queries are taken in strips to stay below.
    """
    groups, repeats, asking, head_dim = q_GRQE.shape
    own = k_GLE.shape[1]
    above = sum(keys.shape[1] for keys, _ in ancestors)
    rows = max(1, most_scores // (groups * repeats * (above + own)))
    result = np.empty(q_GRQE.shape, dtype=np.float32)
    for start in range(0, asking, rows):
        stop = min(start + rows, asking)
        # The last token of this strip sees this much of the own part; nobody in the strip sees more.
        seen = own - asking + stop
        query = q_GRQE[:, :, start:stop].reshape(groups, repeats * (stop - start), head_dim)
        query = query * np.float32(head_dim**-0.5)
        scores = np.empty((groups, query.shape[1], above + seen), dtype=np.float32)
        place = 0
        for keys, _ in [*ancestors, (k_GLE[:, :seen], v_GLE)]:
            np.matmul(query, keys.swapaxes(1, 2), out=scores[..., place : place + keys.shape[1]])
            place += keys.shape[1]
        if stop - start > 1:
            future = np.triu(np.ones((stop - start, stop - start), dtype=np.bool_), k=1)
            scores.reshape(groups, repeats, stop - start, -1)[..., above + seen - (stop - start) :][
                ..., future
            ] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        total = scores.sum(axis=-1, keepdims=True)
        mixed = scores[..., above:] @ v_GLE[:, :seen]
        place = 0
        for _, values in ancestors:
            mixed += scores[..., place : place + values.shape[1]] @ values
            place += values.shape[1]
        mixed /= total
        result[:, :, start:stop] = mixed.reshape(groups, repeats, stop - start, head_dim)
    return result
