"""cross_encoder: a CrossEncoder's own ids and instruction are honoured; other modules are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.layouts import edit_json, write_classifier, write_cross_encoder

YES, NO = 7, 5
INSTRUCTION = "Find the passage"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("base"))


def test_its_words_are_the_rows_of_the_judge_and_its_prompt_the_instruction(base: Path, tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path, base, ids=(30, 20), prompt=INSTRUCTION)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.layout, checkpoint.instruction) == ("sentence-transformers", INSTRUCTION)
    np.testing.assert_array_equal(checkpoint.head.rows(YES, NO), open_checkpoint(base).head.rows(30, 20))


def test_a_score_of_one_word_is_that_words_logit(base: Path, tmp_path: Path) -> None:
    yes, no = open_checkpoint(write_cross_encoder(tmp_path, base, ids=(30, None))).head.rows(YES, NO)
    np.testing.assert_array_equal(yes, open_checkpoint(base).head.rows(30, 20)[0])
    assert not no.any()


def test_a_classifier_keeps_its_own_head(base: Path, tmp_path: Path) -> None:
    classifier = write_classifier(tmp_path / "classifier", base, yes_id=YES, no_id=NO)
    checkpoint = open_checkpoint(write_cross_encoder(tmp_path / "saved", classifier, ids=None))
    assert (checkpoint.layout, checkpoint.head.tensor.name) == ("sentence-transformers", "score.weight")


def test_without_a_default_prompt_the_instruction_is_the_templates(base: Path, tmp_path: Path) -> None:
    assert open_checkpoint(write_cross_encoder(tmp_path, base, ids=(YES, NO))).instruction is None
    edit_json(tmp_path / "config_sentence_transformers.json", default_prompt_name="query", prompts={"query": ""})
    assert open_checkpoint(tmp_path).instruction is None
    (tmp_path / "config_sentence_transformers.json").unlink()
    assert open_checkpoint(tmp_path).instruction is None


def listed(*kinds: str, path: str = "1_LogitScore") -> Callable[[Path], None]:
    modules = [{"type": f"sentence_transformers.x.{kind}", "path": path if n else ""} for n, kind in enumerate(kinds)]
    return lambda folder: (folder / "modules.json").write_text(json.dumps(modules)) and None


def configured(name: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / name, **changes)


def written(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


SCORE, SETTINGS = "1_LogitScore/config.json", "config_sentence_transformers.json"
DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "pooling of nothing": (listed("Transformer", "Pooling"), (SCORE, "last-token pooling", "Qwen3-Embedding", "[]")),
    "dense layer": (listed("Transformer", "Dense"), ("modules.json", "'Dense'")),
    "no judge": (listed("Transformer"), ("modules.json", "expected a LogitScore")),
    "parent folder": (listed("Transformer", "LogitScore", path="../x"), ("modules.json", "'../x'", "refused")),
    "up": (listed("Transformer", "LogitScore", path=".."), ("modules.json", "refused")),
    "modules an object": (written("modules.json", "{}"), ("modules.json", "expected a JSON list, got dict")),
    "modules not JSON": (written("modules.json", "[" * 100_000), ("modules.json", "nested too deeply")),
    "modules of text": (written("modules.json", '["Transformer"]'), ("modules.json", "objects with type and path")),
    "no ids": (lambda folder: (folder / SCORE).unlink(), (SCORE, "cannot be read")),
    "id beyond the words": (configured(SCORE, true_token_id=320), (SCORE, "true_token_id", "0..319", "320")),
    "id no number": (configured(SCORE, false_token_id=True), (SCORE, "false_token_id", "True")),
    "no true id": (configured(SCORE, true_token_id=None), (SCORE, "true_token_id", "None")),
    "equal ids": (configured(SCORE, true_token_id=NO), (SCORE, "both 5")),
    "other input": (configured(SCORE, module_input_name="logits"), (SCORE, "module_input_name", "'logits'")),
    "unknown prompt": (configured(SETTINGS, default_prompt_name="passage"), (SETTINGS, "'passage'", "null")),
    "prompts a list": (configured(SETTINGS, prompts=["x"]), (SETTINGS, "prompts")),
    "prompt no text": (configured(SETTINGS, prompts={"query": 3}), (SETTINGS, "'query'", "name a text")),
    "surrogate": (configured(SETTINGS, prompts={"query": "\ud800"}), (SETTINGS, "not valid Unicode")),
    "plain text": (configured("sentence_bert_config.json", modality_config={"text": {}}), (SETTINGS, "plain text")),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_yes_no_judge_is_refused_and_says_where(
    damage: Callable[[Path], None], said: tuple[str, ...], base: Path, tmp_path: Path
) -> None:
    damage(write_cross_encoder(tmp_path, base, ids=(YES, NO), prompt=INSTRUCTION))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert all(part in message for part in said), message
    assert message.isprintable()


def test_words_for_a_classifier_are_refused(base: Path, tmp_path: Path) -> None:
    classifier = write_classifier(tmp_path / "classifier", base, yes_id=YES, no_id=NO)
    folder = write_cross_encoder(tmp_path / "saved", classifier, ids=(YES, NO))
    with pytest.raises(CheckpointError, match=r"modules\.json: expected no LogitScore"):
        open_checkpoint(folder)
