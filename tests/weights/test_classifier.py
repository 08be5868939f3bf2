"""classifier: one row is yes - no, two rows are what id2label says; whatever leaves it open is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.layouts import CLASSIFIER, SINGLE, edit_json, edit_tensors, write_classifier

YES, NO = 7, 5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("base"))


def judge(folder: Path) -> np.ndarray:
    rows = open_checkpoint(folder).head.rows(YES, NO)
    return rows[0] - rows[1]


@pytest.mark.parametrize("labels", [None, ("no", "yes"), ("yes", "no")])
def test_each_order_of_rows_gives_the_judge_of_the_original(
    labels: tuple[str, str] | None, base: Path, tmp_path: Path
) -> None:
    folder = write_classifier(tmp_path, base, yes_id=YES, no_id=NO, labels=labels)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.layout, checkpoint.head.tensor.name) == ("seq-cls", "score.weight")
    assert set(checkpoint.tensors) == set(open_checkpoint(base).tensors)
    np.testing.assert_array_equal(judge(folder), judge(base))


@pytest.mark.parametrize(
    ("id2label", "label2id"),
    [
        ({"0": "NO", "1": "Yes"}, None),
        (None, {"no": 0, "yes": 1}),
        ({"1": "yes", "0": "no"}, {"Yes": 1, "No": 0}),
    ],
)
def test_labels_are_read_in_any_case_and_from_either_table(
    id2label: Any, label2id: Any, base: Path, tmp_path: Path
) -> None:
    folder = write_classifier(tmp_path, base, yes_id=YES, no_id=NO, labels=("no", "yes"))
    edit_json(folder / "config.json", id2label=id2label, label2id=label2id)
    np.testing.assert_array_equal(judge(folder), judge(base))


def test_an_untied_original_needs_no_language_model_head(base: Path, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, base, yes_id=YES, no_id=NO)
    edit_json(folder / "config.json", tie_word_embeddings=False)
    np.testing.assert_array_equal(judge(folder), judge(base))


def test_a_bias_of_zeros_is_none(base: Path, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, base, yes_id=YES, no_id=NO)
    edit_tensors(folder / SINGLE, **{"score.bias": torch.zeros(1)})
    np.testing.assert_array_equal(judge(folder), judge(base))


def configured(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **changes)


def with_tensors(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    return lambda folder: edit_tensors(folder / SINGLE, **changes)


DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "default labels": (configured(id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id=None), ("id2label", '"no"')),
    "no labels": (
        configured(id2label=None, label2id=None),
        ("config.json", "never guessed", '{"0": "no", "1": "yes"}'),
    ),
    "other words": (configured(id2label={"0": "bad", "1": "good"}, label2id=None), ("'bad'", "never guessed")),
    "the same word": (configured(id2label={"0": "yes", "1": "yes"}, label2id=None), ("never guessed",)),
    "rows beyond": (configured(id2label={"0": "no", "2": "yes"}, label2id=None), ("never guessed",)),
    "contradiction": (configured(label2id={"no": 1, "yes": 0}), ("config.json", "contradict")),
    "labels no object": (configured(id2label=["no", "yes"]), ("id2label must be an object",)),
    "three rows": (with_tensors(**{"score.weight": torch.ones(3, 32)}), (SINGLE, "[3, 32]", "one row")),
    "no dimension": (with_tensors(**{"score.weight": torch.ones(())}), (SINGLE, "score.weight", "one row")),
    "width": (with_tensors(**{"score.weight": torch.ones(2, 31)}), (SINGLE, "expected shape [2, 32]")),
    "one row for two labels": (with_tensors(**{"score.weight": torch.ones(1, 32)}), ("2 labels", "one row")),
    "whole numbers": (with_tensors(**{"score.weight": torch.ones(2, 32, dtype=torch.int8)}), ("'I8'",)),
    "no score": (with_tensors(**{"score.weight": None}), (SINGLE, "'score.weight' is missing", "never made up")),
    "bias": (with_tensors(**{"score.bias": torch.tensor([0.0, 0.5])}), (SINGLE, "'score.bias'", "no bias")),
    "both architectures": (configured(architectures=["Qwen3ForCausalLM", CLASSIFIER]), ("architectures", CLASSIFIER)),
    "a causal-LM's": (configured(architectures=["Qwen3ForCausalLM"]), (SINGLE, "'score.weight'", CLASSIFIER)),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_what_leaves_the_judge_open_is_refused_and_says_what_to_write(
    damage: Callable[[Path], None], said: tuple[str, ...], base: Path, tmp_path: Path
) -> None:
    damage(write_classifier(tmp_path, base, yes_id=YES, no_id=NO, labels=("no", "yes")))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert all(part in message for part in said), message
    assert message.isprintable()
