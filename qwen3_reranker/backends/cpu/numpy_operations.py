"""The handful of operations a layer is made of, in numpy float32: numpy_engine.py runs on them.

The native engine has kernels of its own for all but the rotary angles and the norm after the last layer.

Shapes: T tokens, D hidden, G key/value heads, R query heads for each of them, E head_dim, I intermediate,
Q tokens of a segment that ask, L tokens of it up to the last of them, P tokens of one run of ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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


def norm_rotate(x_THE: Floats, weight_E: Floats, eps: float, cos: Floats, sin: Floats, out_HTE: Floats) -> None:
    """QK-norm, then rotary positions, written heads first: (T, heads, E) -> (heads, T, E)."""
    normed_HTE = rms_norm(x_THE, weight_E, eps).swapaxes(0, 1)
    half = x_THE.shape[-1] // 2
    first, second = normed_HTE[..., :half], normed_HTE[..., half:]
    np.multiply(first, cos, out=out_HTE[..., :half])
    out_HTE[..., :half] -= second * sin
    np.multiply(second, cos, out=out_HTE[..., half:])
    out_HTE[..., half:] += first * sin


def mlp(x_TD: Floats, gate_up_2ID: Floats, down_DI: Floats) -> Floats:
    """SwiGLU: down(silu(gate(x)) * up(x)), (T, D)."""
    both = linear(x_TD, gate_up_2ID)
    gate, up = np.split(both, 2, axis=1)
    with np.errstate(over="ignore"):  # exp of a large number is inf, and x / inf is the right 0
        up *= gate / (np.float32(1) + np.exp(-gate))
    return linear(up, down_DI)


def attend(q_GRQE: Floats, k_GLE: Floats, v_GLE: Floats, ancestors: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Attention of a segment's tokens over [ancestors | own]: (G, R, Q, E).

    The asking tokens are the last Q of the L own ones, and each sees the own ones up to itself. ancestors: keys and
    values (G, P, E) of the runs above, from the root down; every asking token sees all of them.
    """
    groups, repeats, asking, head_dim = q_GRQE.shape
    own = k_GLE.shape[1]
    above = sum(keys.shape[1] for keys, _ in ancestors)
    query = q_GRQE.reshape(groups, repeats * asking, head_dim) * np.float32(head_dim**-0.5)
    scores = np.empty((groups, repeats * asking, above + own), dtype=np.float32)
    place = 0
    for keys, _ in [*ancestors, (k_GLE, v_GLE)]:
        np.matmul(query, keys.swapaxes(1, 2), out=scores[..., place : place + keys.shape[1]])
        place += keys.shape[1]
    if asking > 1:
        future_QQ = np.triu(np.ones((asking, asking), dtype=np.bool_), k=1)
        latest = scores.reshape(groups, repeats, asking, above + own)[..., above + own - asking :]
        np.copyto(latest, np.float32(-np.inf), where=future_QQ)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    mixed = scores[..., above:] @ v_GLE
    place = 0
    for _, values in ancestors:
        mixed += scores[..., place : place + values.shape[1]] @ values
        place += values.shape[1]
    mixed /= scores.sum(axis=-1, keepdims=True)
    result: Floats = mixed.reshape(groups, repeats, asking, head_dim)
    return result
