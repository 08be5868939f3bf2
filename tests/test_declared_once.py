"""An option is stated once, in a dataclass: verbs, settings of the server and pages of options follow it."""

import ast
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

from qwen3_reranker.cli.declared_options import long_flag
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.option_fields import option_facts
from qwen3_reranker.serve.settings import SETTINGS, ServerSettings
from qwen3_reranker.train.mining_options import MiningOptions
from qwen3_reranker.train.synthesis_options import SynthesisOptions
from qwen3_reranker.train.train_options import TrainOptions

ROOT = Path(__file__).parents[1]
CLI = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "qwen3_reranker" / "cli").glob("*.py"))}
_MOST_PARAMETERS = 8


@pytest.mark.parametrize("options", [EngineOptions, TrainOptions, MiningOptions, SynthesisOptions])
def test_every_field_of_options_says_what_it_is(options: type) -> None:
    facts = option_facts(options)
    assert list(facts) == [field.name for field in fields(options)] == list(signature(options).parameters)
    assert all(each.help.endswith(".") for each in facts.values())


def test_a_verb_takes_groups_of_options_and_repeats_none() -> None:
    for path, source in CLI.items():
        assert "max_batch_tokens" not in source, f"{path} repeats an option of the engine"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                count = sum(len(some) for some in (node.args.posonlyargs, node.args.args, node.args.kwonlyargs))
                assert count <= _MOST_PARAMETERS, f"{path}: {node.name} takes {count} parameters"


def test_every_setting_of_the_server_has_a_flag_but_the_secret_and_the_models_which_have_flags_of_their_own() -> None:
    assert {name for name, facts in SETTINGS.items() if not facts.group} == {"pepper", "models"}
    assert list(SETTINGS) == [field.name for field in fields(ServerSettings)]


def test_the_page_of_training_lists_every_option_with_its_default() -> None:
    page = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    facts = option_facts(TrainOptions)
    rows = [
        f"| `{field.name}` | {f'`{long_flag(field)}`' if facts[field.name].group else ''} | "
        f"{facts[field.name].shown or field.default} | {facts[field.name].help} |"
        for field in fields(TrainOptions)
    ]
    assert "\n".join(rows) in page, "docs/train.md must hold these rows:\n" + "\n".join(rows)


def test_the_page_of_the_server_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    rows = [
        f"| `{field.name}` | {SETTINGS[field.name].shown or _shown(field.default)} | {_reloads(field.name)} | "
        f"{SETTINGS[field.name].help} |"
        for field in fields(ServerSettings)
    ]
    table = "\n".join(["| setting | default | reload | meaning |", "|---|---|---|---|", *rows])
    assert f"{table}\n\n" in page, f"docs/serve.md must hold this table:\n{table}"


def _reloads(name: str) -> str:
    return "aliases, prices, calibrations" if name == "models" else "yes" if SETTINGS[name].reloads else ""


def _shown(default: object) -> str:
    return "none" if default in (None, ()) else str(default).lower()
