"""Logits -> scores, by an activation function of anybody's: ours, torch's by name, or a callable."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import score
from qwen3_reranker.errors import InputError, UnavailableError

Activation = Callable[[Any], Any]

_LOG = logging.getLogger(__name__)
_OVER_LABELS = ("Softmax", "LogSoftmax", "Softmin", "Softmax2d")


class Sigmoid:
    """Scores are probabilities: what torch.nn.Sigmoid makes of logits, without torch."""

    stored_name = "torch.nn.modules.activation.Sigmoid"

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of each logit, in float32 of the same shape."""
        return score.probabilities(logits)

    def __repr__(self) -> str:
        return "Sigmoid()"


class Identity:
    """Scores are the logits yes - no: what torch.nn.Identity makes of them, without torch."""

    stored_name = "torch.nn.modules.linear.Identity"

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits themselves."""
        return logits

    def __repr__(self) -> str:
        return "Identity()"


_OWN: dict[str, type[Sigmoid] | type[Identity]] = {"Sigmoid": Sigmoid, "Identity": Identity}


def checked_activation(activation: object) -> Activation:
    """The function itself, ours in place of torch's Sigmoid and Identity.

    Raises InputError for what cannot be called, for a class, and for a softmax: over one label it makes every score 1.
    """
    kind = type(activation)
    if kind.__module__.partition(".")[0] == "torch":
        if kind.__name__ in _OWN:
            return _OWN[kind.__name__]()
        if kind.__name__ in _OVER_LABELS:
            raise InputError(
                f"activation_fn {kind.__name__}: a Qwen3-Reranker gives one score, and over one label that makes every "
                "score the same; use Sigmoid (probabilities) or Identity (logits)"
            )
    if isinstance(activation, type) or not callable(activation):
        raise InputError(
            f"activation_fn must be a function of scores, such as torch.nn.Sigmoid(), got {activation!r:.80}"
        )
    return activation


def activated(activation: Activation, logits_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """The score of each logit, (num_pairs,) float32.

    Another function than ours gets (num_pairs, 1) float32, as in sentence-transformers: a tensor where the program has
    imported torch, else an array. Raises InputError unless it returns one number for each.
    """
    if isinstance(activation, Sigmoid | Identity):
        return activation(logits_N)
    given: Any = logits_N[:, None]
    if "torch" in sys.modules:
        import torch

        given = torch.from_numpy(given)
    returned = activation(given)
    scores = np.asarray(returned.detach().cpu() if hasattr(returned, "detach") else returned, dtype=np.float32)
    if scores.size != len(logits_N):
        raise InputError(
            f"activation_fn must return one score for each of {len(logits_N)} logits, got the shape {scores.shape}"
        )
    return scores.reshape(len(logits_N))


def stored_name(activation: Activation) -> str:
    """The dotted name under which sentence-transformers stores a function. Raises InputError for one not of torch."""
    if isinstance(activation, Sigmoid | Identity):
        return activation.stored_name
    kind = type(activation)
    if kind.__module__.partition(".")[0] != "torch":
        raise InputError(
            "a model is saved with the name of its activation_fn, and only those of torch.nn are loaded again, got "
            f"{activation!r:.80}; set activation_fn to torch.nn.Sigmoid() or torch.nn.Identity() before saving"
        )
    return f"{kind.__module__}.{kind.__qualname__}"


def named_activation(name: str | None) -> Activation:
    """The function that a checkpoint names, Sigmoid for none. As in sentence-transformers only torch's are loaded.

    Raises UnavailableError for one that needs torch where torch is not installed.
    """
    if name is None:
        return Sigmoid()
    module, _, kind = name.rpartition(".")
    if not name.startswith("torch."):
        _LOG.warning("activation function %r of the checkpoint is not loaded; scores are probabilities", name)
        return Sigmoid()
    if kind in _OWN:
        return _OWN[kind]()
    try:
        from importlib import import_module

        return checked_activation(getattr(import_module(module), kind)())
    except (ImportError, AttributeError, TypeError) as error:
        raise UnavailableError(
            f"the checkpoint's activation function {name} cannot be loaded ({error}): install torch, or give another "
            "(activation_fn)"
        ) from None
