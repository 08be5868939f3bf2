"""Imports point down, heavy libraries stay where they belong, and files stay small."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qwen3_reranker"
# From the ground up; parts that share a line do not import one another (DESIGN.md).
LAYERS = [
    {"errors"},
    {"forking", "lease", "option_fields", "placeholders", "storage_urls"}
    | {"record_texts", "records", "registry", "row_table", "uninterrupted"},
    {"file_text", "json_object", "parquet", "partial_encoding", "prompt", "shingles"},
    {"arguments", "fast_tokenizer", "added_tokens", "text_lines"},
    {"config", "documents", "endpoints", "engine_options", "plan", "score", "selection_options", "tokens"},
    {"weights", "heads", "model_facts", "explanation", "recheck", "selection"},
    {"cascade", "screening"},
    {"backends"},
    {"async_calls", "overlap"},
    {"runner"},
    {"opened_model", "logit_engine", "text_reranker"},
    {"remote", "screen_engines"},
    {"reranker", "embedder"},
    {"search"},
    {"bench", "drift", "evaluate", "integrations"},
    {"convert", "doctor", "hub"},
    {"compat", "jobs", "train"},
    {"calibrate"},
    {"mcp", "serve"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# Which part may import which library beyond the standard one.
LIBRARIES = {
    "numpy": set(LEVEL)
    - {
        "errors",
        "explanation",
        "file_text",
        "json_object",
        "option_fields",
        "placeholders",
        "prompt",
        "row_table",
        "config",
        "documents",
        "lease",
        "overlap",
        "parquet",
        "storage_urls",
    }
    - {
        "__init__",
        "__main__",
        "arguments",
        "async_calls",
        "engine_options",
        "opened_model",
        "record_texts",
        "registry",
        "selection_options",
        "text_lines",
    },
    "pandas": {"records"},
    "tokenizers": {"compat", "tokens", "train"},
    "gigatoken": {"fast_tokenizer"},
    "httpx2": {"endpoints"},
    "huggingface_hub": {"compat", "weights", "hub", "train"},
    "qwen3_reranker_kernels": {"backends"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli", "compat", "row_table"},
    "pypdfium2": {"documents"},
    "python_calamine": {"documents"},
    "bm25s": {"search"},
    "mteb": {"evaluate"},
    "datasets": {"evaluate"},  # comes with mteb, which hands out its tables
    "torch": {"backends", "compat", "train"},
    "vllm": {"backends"},
    "transformers": {"compat"},  # which hands out a tokenizer in its form
    "safetensors": {"train"},
    "accelerate": {"train"},
    "starlette": {"serve"},
    "uvicorn": {"serve", "mcp"},
    "httptools": {"serve"},
    "mcp": {"mcp"},
    "mcp_types": {"mcp"},  # comes with mcp, as does anyio
    "anyio": {"mcp"},
    "pydantic": {"serve", "mcp", "integrations"},
    "pydantic_core": {"serve"},
    "jinja2": {"serve"},
    "sqlalchemy": {"serve"},
    "prometheus_client": {"serve"},
    "langchain_core": {"integrations"},
    "llama_index": {"integrations"},
    "haystack": {"integrations"},
    "lancedb": {"integrations", "search"},
    "pymilvus": {"integrations"},
    "duckdb": {"integrations"},
    "dspy": {"integrations"},
    "pyarrow": {"integrations", "parquet", "search"},  # comes with lancedb, and DuckDB needs it for such functions
    "fsspec": {"storage_urls"},
    "ray": {"jobs", "serve"},
    "typing_extensions": {"serve"},  # comes with pydantic, which before Python 3.12 reads only its TypedDict
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_lies_below_it_or_beside_it_in_its_own_part(path: Path) -> None:
    part = part_of(path)
    for name in imports_of(path):
        root, _, rest = name.partition(".")
        if root == "qwen3_reranker":
            # `from qwen3_reranker import X` names a part or something that __init__ exports.
            target = rest.split(".")[0] if rest.split(".")[0] in LEVEL else "__init__"
            if target == "__init__":
                assert part in ("cli", "__main__", "__init__"), f"{path} imports the package's own front door: {name}"
            else:
                assert target == part or LEVEL[target] < LEVEL[part], f"{path} ({part}) imports {name}"
        elif root not in sys.stdlib_module_names:
            assert root in LIBRARIES, f"{path} imports {root}, which no part of the package depends on"
            assert part in LIBRARIES[root], f"{path} ({part}) imports {root}"


# What every backend may build on: the contract, and the parts that know no kind of array.
SHARED_BY_BACKENDS = {"base", "classifier_outputs", "layout", "batches", "prefix_cache"}


def test_backends_do_not_import_one_another() -> None:
    for path in (PACKAGE / "backends").rglob("*.py"):
        own = path.relative_to(PACKAGE / "backends").parts[0].removesuffix(".py")
        for name in imports_of(path):
            if name.startswith("qwen3_reranker.backends."):
                assert name.split(".")[2] in {own, *SHARED_BY_BACKENDS}, f"{path} imports {name}"


def test_torch_is_imported_by_backends_on_it_training_and_what_hands_out_tensors_alone() -> None:
    found = {
        path.relative_to(PACKAGE).parent for path in FILES for name in imports_of(path) if name.startswith("torch")
    }
    assert found == {Path("backends/torch"), Path("backends/vllm"), Path("compat"), Path("train")}


def test_a_native_file_is_small() -> None:
    sources = [path for kind in ("*.h", "*.cpp") for path in (PACKAGE.parent / "native").rglob(kind)]
    assert {path.name for path in sources if path.read_text(encoding="utf-8").count("\n") > 400} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_small_and_its_first_line_names_its_station(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 400
    docstring = ast.get_docstring(ast.parse(source))
    assert docstring, f"{path} has no docstring"
    assert path.stem not in ("utils", "helpers", "common", "misc")


def test_design_shows_the_layers_that_are_enforced() -> None:
    page = (PACKAGE.parent / "DESIGN.md").read_text(encoding="utf-8")
    _, _, listed = page.partition("parts on one line do not import one another:\n\n")
    lines = [set(line.partition("(")[0].split()) for line in listed.partition("\n\n")[0].splitlines()]
    assert lines == [parts - {"__main__"} for parts in LAYERS]


def test_every_file_that_design_names_exists() -> None:
    page = (PACKAGE.parent / "DESIGN.md").read_text(encoding="utf-8")
    existing = {path.name for folder in ("qwen3_reranker", "native") for path in (PACKAGE.parent / folder).rglob("*.*")}
    assert set(re.findall(r"`(\w+\.(?:py|h|cpp))`", page)) <= existing
