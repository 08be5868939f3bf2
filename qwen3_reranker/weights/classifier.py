"""score.weight of a sequence-classification conversion -> the judge's head; which row is yes is read, never assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.weights import names
from qwen3_reranker.weights.checkpoint import ScoreHead
from qwen3_reranker.weights.safetensors import TensorEntry
from qwen3_reranker.weights.shards import shaped_tensor
from qwen3_reranker.weights.tensor import Tensor

SCORE_BIAS = "score.bias"


def score_shape(weight: TensorEntry, hidden_size: int) -> tuple[int, int]:
    """The shape of `score.weight`: one row for yes - no, or two labelled ones.

    Raises CheckpointError for any other number of rows.
    """
    num_rows = weight.shape[0] if weight.shape else 0
    if num_rows not in (1, 2):
        raise CheckpointError(
            f"{weight.source.path}: tensor {names.SCORE!r}: expected one row (yes - no) or two (yes and no), got shape "
            f"{shown(list(weight.shape))}; this is no conversion of a Qwen3-Reranker"
        )
    return num_rows, hidden_size


def score_head(tensor: Tensor, bias: TensorEntry | None, fields: Mapping[str, Any], config_source: str) -> ScoreHead:
    """The head in `score.weight`, of a `score_shape`.

    fields: those of config.json, whose id2label (or label2id) says which row is yes; `config_source` names it.
    Raises CheckpointError for labels that leave it open, and for a bias that is not zero.
    """
    num_rows = tensor.shape[0]
    _refuse_bias(bias, num_rows)
    labels = _label_rows(fields, config_source)
    if num_rows == 1:
        if len(labels) > 1:
            raise CheckpointError(
                f"{config_source}: names {len(labels)} labels, but {names.SCORE!r} has one row; "
                "configuration and weights are not of one model"
            )
        return ScoreHead(tensor, (0,))
    if labels.keys() != {"yes", "no"} or set(labels.values()) != {0, 1}:
        raise CheckpointError(
            f'{config_source}: {names.SCORE!r} has two rows, and id2label must name them "yes" and "no", got '
            f"{shown(fields.get('id2label', fields.get('label2id')))}; which row is which is never guessed: write "
            '"id2label": {"0": "no", "1": "yes"}, or the reverse, as the model was trained'
        )
    return ScoreHead(tensor, (labels["yes"], labels["no"]))


def _refuse_bias(bias: TensorEntry | None, num_rows: int) -> None:
    if bias is None:
        return
    # transformers' Qwen3ForSequenceClassification has no bias and drops one that it finds.
    if shaped_tensor(SCORE_BIAS, (num_rows,), bias, f"{names.SCORE}'s rows").read().any():
        raise CheckpointError(
            f"{bias.source.path}: tensor {SCORE_BIAS!r}: expected none or zeros, as Qwen3ForSequenceClassification has "
            "no bias; remove the tensor, or convert the original checkpoint again"
        )


def _label_rows(fields: Mapping[str, Any], source: str) -> dict[str, int]:
    """Each label in lower case -> its row; empty where config.json names none."""
    id2label, label2id = fields.get("id2label"), fields.get("label2id")
    for name, value in (("id2label", id2label), ("label2id", label2id)):
        if value is not None and not isinstance(value, dict):
            raise CheckpointError(f"{source}: {name} must be an object, got {shown(value)}")
    by_row = {str(label).lower(): row for row, label in (id2label or {}).items()}
    by_name = {str(label).lower(): str(row) for label, row in (label2id or {}).items()}
    if by_row and by_name and by_row != by_name:
        raise CheckpointError(
            f"{source}: id2label {shown(id2label)} and label2id {shown(label2id)} contradict each other; "
            "correct the wrong one"
        )
    rows = {"0": 0, "1": 1}
    return {label: rows.get(row, -1) for label, row in (by_row or by_name).items()}
