"""The public names are these, and importing them stays light."""

import subprocess
import sys

import pytest

import qwen3_reranker


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_public_names_are_these_and_each_can_be_had() -> None:
    assert sorted(qwen3_reranker.__all__) == [
        "Cascade",
        "CheckpointError",
        "DocumentScores",
        "Embedder",
        "Embeddings",
        "Explanation",
        "Hit",
        "InputError",
        "ModelNotFoundError",
        "OutOfMemoryError",
        "PrecisionError",
        "QueryTooLongError",
        "Ranking",
        "Receipt",
        "RecordError",
        "Reranker",
        "RerankerError",
        "Screening",
        "Selection",
        "TextReceipt",
        "UnavailableError",
        "UnsupportedModelError",
        "Usage",
        "__version__",
        "select",
    ]
    for name in qwen3_reranker.__all__:
        assert getattr(qwen3_reranker, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Ranker'"):
        qwen3_reranker.Ranker  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import qwen3_reranker") & {"numpy", "tokenizers", "huggingface_hub", "torch", "typer"}


def test_importing_the_reranker_loads_neither_torch_nor_the_hub_nor_the_command_line() -> None:
    heavy = {"torch", "transformers", "huggingface_hub", "typer", "rich", "safetensors", "fastapi"}
    assert not loaded_after("from qwen3_reranker import Reranker") & heavy
