"""One name means one thing: no class or module name twice, the field's words, and no word that they replaced."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "qwen3_reranker"
# Module names with the same role in every folder that has one.
STANDARD_MODULES = {"__init__", "__main__", "base", "backend", "memory", "routes", "protocol"}
# Names that a term of the field has replaced, or another of our own.
REPLACED = {
    "PlanRunner", "LayerEngine", "NativeEngine", "BatchPass", "Sequences", "everyone", "store_kept",
    "query_starts_S1", "key_starts_S1", "owners_S", "one_ahead", "lasting", "Passing", "NotedRoute", "Ask", "Spent",
    "Taken", "DrainRate", "Vitals", "Judging", "_Standing", "in_doubt", "Standing", "strangers", "elsewhere_GD",
    "Interview", "Judged", "Reading", "Judge", "Part", "_slabs", "Gate", "Door", "Refused", "Caller",
}  # fmt: skip
# Arguments of varlen attention, in FlashAttention's order: flash_attn_varlen_func(q, k, v, ...).
VARLEN = ("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k")


def test_no_two_classes_share_a_name() -> None:
    classes = Counter(node.name for tree in trees().values() for node in tree.body if isinstance(node, ast.ClassDef))
    assert not {name for name, count in classes.items() if count > 1}


def test_no_two_modules_share_a_name() -> None:
    modules = Counter(path.stem for path in trees())
    assert {name for name, count in modules.items() if count > 1} <= STANDARD_MODULES


def test_no_replaced_name_comes_back() -> None:
    found = {name: path for path, tree in trees().items() for name in names_of(tree) if name in REPLACED}
    assert not found


def test_varlen_attention_is_called_with_the_names_of_flash_attention() -> None:
    calls = [
        [ast.unparse(each).rpartition(".")[2] for each in node.args[3:7]]
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("_flash_attention_forward")
    ]
    assert calls
    assert all(name.startswith(word) for call in calls for word, name in zip(VARLEN, call, strict=True))


@cache
def trees() -> dict[Path, ast.Module]:
    """The syntax tree of each module of the package."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def names_of(tree: ast.Module) -> Iterator[str]:
    """Every name that the module defines: classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
