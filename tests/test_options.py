"""Every option of a model is seen by help(), completion and type checkers, with its default and its meaning."""

import inspect
import os
import pydoc
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from qwen3_reranker import Embedder, InputError, Reranker
from qwen3_reranker.engine_options import (
    BackendName,
    EmbedderOptions,
    EngineOptions,
    KernelsName,
    PrecisionName,
    PromptName,
    RerankerOptions,
)
from qwen3_reranker.prompt import TEMPLATES
from qwen3_reranker.registry import SPECS

ROOT = Path(__file__).parents[1]
OF = [
    (Reranker, RerankerOptions, {"model", "revision", "plan_only"}),
    (Embedder, EmbedderOptions, {"model", "revision", "dim"}),
]


@pytest.mark.parametrize(("kind", "options", "own"), OF, ids=["Reranker", "Embedder"])
def test_a_signature_names_every_option_with_its_default_and_type(kind: type, options: type, own: set[str]) -> None:
    defaults = {field.name: field.default for field in fields(EngineOptions)}
    kinds = get_type_hints(options)
    shown = {name: each for name, each in inspect.signature(kind).parameters.items() if name not in own}
    assert list(shown) == [name for name in defaults if name in kinds]
    for name, parameter in shown.items():
        assert (parameter.kind, parameter.default) == (inspect.Parameter.KEYWORD_ONLY, defaults[name])
        assert parameter.annotation == kinds[name]


@pytest.mark.parametrize(("kind", "options", "own"), OF, ids=["Reranker", "Embedder"])
def test_help_says_what_each_option_is(kind: type, options: type, own: set[str]) -> None:
    told = [line.strip() for line in pydoc.plain(pydoc.render_doc(kind)).replace("|", "").splitlines()]
    for name in get_type_hints(options):
        assert any(line.startswith(f"{name}: ") for line in told), f"help({kind.__name__}) does not say what {name} is"


def test_the_types_of_options_are_those_of_the_engine() -> None:
    assert set(get_type_hints(RerankerOptions)) == {field.name for field in fields(EngineOptions)}
    assert get_args(BackendName) == tuple(SPECS)
    assert set(get_args(PrecisionName)) == {each for spec in SPECS.values() for each in spec.precisions}
    assert get_args(PromptName) == tuple(TEMPLATES)
    assert set(get_args(KernelsName)) == {each for spec in SPECS.values() for each in spec.kernels}


def test_what_an_embedder_is_not_shown_to_take_it_refuses(tmp_path: Path) -> None:
    judges = {"prompt": "card-vllm", "truncate_queries": True, "engine_options": {}}
    assert set(get_type_hints(RerankerOptions)) - set(get_type_hints(EmbedderOptions)) == set(judges)
    for name, value in judges.items():
        with pytest.raises(InputError, match=f"{name} is (an option of a Reranker|for the vllm backends)"):
            Embedder(tmp_path, **{name: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_type_checker_knows_what_comes_back_and_finds_a_misspelt_option(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from qwen3_reranker import Embedder, Reranker\n"
        'reveal_type(Reranker("nano", precision="int8").rank("q", ["d"])[0].logit)\n'
        'Reranker("nano", precison="int8")\n'
        'Reranker("nano", precision="int7")\n'
        'Embedder("model", prompt="card")\n'
    )
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if " error: " in line or "Revealed" in line]
    assert 'Revealed type is "float"' in lines[0].replace("builtins.", "")
    assert 'Unexpected keyword argument "precison" for "Reranker"; did you mean "precision"?' in lines[1]
    assert 'Argument "precision" to "Reranker" has incompatible type' in lines[2]
    assert 'Unexpected keyword argument "prompt" for "Embedder"' in lines[3]
