"""The facts of known models agree with their files, their card, their makers and the pages of the docs."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.memory import memory_needed
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.model_facts import KNOWN, NANO, known

BUNDLED = files("qwen3_reranker.weights") / "bundled" / "nano"
CARD = (BUNDLED / "README.md").read_text(encoding="utf-8")
PAGE = (Path(__file__).parents[1] / "docs" / "how-it-works.md").read_text(encoding="utf-8")
# As the benchmark's registry counts them (mteb), but the embedding models, which are these without a head of their own.
PUBLISHED_PARAMETERS = {"0.6B": 595_776_512, "4B": 4_021_784_576, "8B": 8_188_548_096}


def test_nano_has_the_shape_of_its_own_files() -> None:
    fields = json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))
    assert ModelConfig.from_json(fields, "config.json") == NANO.config


@pytest.mark.parametrize(
    ("page", "columns", "nano", "mean"), [(CARD, 8, 3, "mean over sets"), (PAGE, 5, 2, "mean over 23 sets")]
)
def test_every_score_of_nano_stands_in_its_card_and_in_the_docs(page: str, columns: int, nano: int, mean: str) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    shown = {row[0]: (row[nano].rstrip("*"), row[nano - 1]) for row in rows if len(row) == columns}
    for score in NANO.scores.rows:
        if " sets of " in score.benchmark:
            continue  # written out in the card, not in a table
        name = mean if score.benchmark.startswith("mean") else score.benchmark
        assert (score.value, score.baseline) == shown[name]


@pytest.mark.parametrize(("kind", "words"), [("17 sets of code", "the 17 sets of code"), ("6 sets", "the six sets of")])
def test_what_nano_scores_on_a_kind_of_set_is_what_its_card_says(kind: str, words: str) -> None:
    [row] = [row for row in NANO.scores.rows if row.benchmark.startswith(kind)]
    said = " ".join(CARD.split()).partition(words)[2].partition(" BM25 has ")[2]
    assert said.startswith(f"{row.baseline}, nano {row.value}")


def test_words_on_nanos_quality_are_made_from_its_scores() -> None:
    assert NANO.scores.statement == (
        "By nDCG@10 it is 0.020 above BM25 alone on the mean of 23 sets, 0.050 above it on the 17 sets of code and "
        "0.043 below it on the 6 sets of prose and tables."
    )
    assert NANO.summary.endswith(NANO.scores.statement)
    facts = json.loads((files("qwen3_reranker") / "model_facts.json").read_text(encoding="utf-8"))
    assert not re.search("BM25", " ".join([*facts["score_tables"]["nano"]["remarks"], facts["models"][0]["summary"]]))


def test_nanos_licence_is_that_of_its_card() -> None:
    assert re.search(r"^license: (.*)$", CARD, re.MULTILINE)[1].lower() == NANO.licence.lower()


@pytest.mark.parametrize("size", PUBLISHED_PARAMETERS)
def test_a_reranker_of_qwens_has_as_many_parameters_as_published(size: str) -> None:
    assert known(f"Qwen/Qwen3-Reranker-{size}").config.num_parameters == PUBLISHED_PARAMETERS[size]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_memory_is_what_inspect_says(precision: str) -> None:
    reranker = Reranker("nano", plan_only=True)
    options = EngineOptions(precision=precision, prefix_cache_tokens=1000)
    items = {
        item.name: item.num_bytes
        for item in memory_needed(reranker.checkpoint, options, max_length=512, tokenizer_entries=1, prefix_tokens=1)
    }
    assert items["layers"] == NANO.layer_bytes(precision)
    assert items["prefix cache"] == 1000 * NANO.cache_bytes_per_token


def test_a_model_is_found_whatever_the_case_of_its_name() -> None:
    assert known("qwen/QWEN3-reranker-0.6b") is known("Qwen/Qwen3-Reranker-0.6B") is not None
    assert known("qwen") is None


def test_names_are_unique_and_every_score_has_a_source() -> None:
    assert len({each.id.lower() for each in KNOWN}) == len(KNOWN)
    for each in KNOWN:
        assert each.scores.source
        assert each.scores.rows
        assert all((row.baseline is None) == (each.scores.baseline is None) for row in each.scores.rows)
