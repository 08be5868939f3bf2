"""Installed packages -> English prose with a title: python -m recipes.nano.docstrings FOLDER

A docstring's first line is the query, its further paragraphs are the text that answers it. Only packages whose licence
lets everybody use and pass on their documentation are read; their names, versions and licences stand in the output.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from qwen3_reranker.errors import InputError
from recipes.nano import data

SOURCE = "docstrings"
INSTRUCTION = "Given a question or a title, retrieve the passage of technical documentation that belongs to it"
# Packages with long explanations in mathematics, statistics, data and programming; BSD, MIT or HPND.
PACKAGES = (
    "numpy", "scipy", "scikit-learn", "sympy", "networkx", "pandas", "nltk", "SQLAlchemy", "mpmath", "pillow",
    "fonttools", "joblib", "pyarrow", "torch", "Jinja2", "Werkzeug", "Pygments", "tornado", "aiohttp", "fsspec",
)  # fmt: skip
LONGEST_TITLE, SHORTEST_TEXT, LONGEST_TEXT = 140, 120, 1500
_NO_PROSE = re.compile(r">>>|::|^\s*[\w*, ]+ : |^\.\. |^[-=~*+|]{3,}|\\[a-z]+\{|\{\w*\}|^\s*:\w+ \w+:", re.MULTILINE)
# "site-packages" and "dist-packages" lie in the folder of Python's own library, and have other licences.
_LEFT_OUT = frozenset(("tests", "test", "_vendor", "testing", "site-packages", "dist-packages", "idlelib", "lib2to3"))
_VERBS = frozenset((
    "add", "apply", "build", "calculate", "check", "choose", "combine", "compute", "construct", "convert",
    "copy", "count", "create", "decode", "delete", "detect", "draw", "encode", "estimate", "evaluate",
    "extract", "fill", "filter", "find", "fit", "generate", "get", "insert", "interpolate", "join", "limit",
    "list", "load", "make", "map", "measure", "merge", "normalize", "open", "parse", "perform", "plot",
    "print", "read", "reduce", "remove", "rename", "replace", "reshape", "resize", "return", "reverse",
    "rotate", "sample", "save", "scale", "search", "select", "send", "set", "simplify", "solve", "sort",
    "split", "start", "stop", "sum", "transform", "test", "translate", "transpose", "undo", "update", "use",
    "validate", "wait", "write",
))  # fmt: skip


def records() -> Iterator[dict[str, object]]:
    """A training record for each docstring of a title and prose. Raises InputError where a package is missing."""
    seen: set[str] = set()
    for name, folder, licence in _folders():
        for path in sorted(folder.rglob("*.py")):
            if _LEFT_OUT & set(path.relative_to(folder).parts) or path.name.startswith("test_"):
                continue
            for title, text in _titled(path):
                if text not in seen:
                    seen.add(text)
                    for query in asked_for(title):
                        yield {
                            "query": query, "pos": [text], "neg": [], "lang": "en", "source": SOURCE,
                            "instruction": INSTRUCTION, "from": name, "licence": licence,
                        }  # fmt: skip


def _folders() -> Iterator[tuple[str, Path, str]]:
    yield "python", Path(sysconfig.get_path("stdlib")), "PSF-2.0"
    for name in PACKAGES:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise InputError(f"the docstrings of {name} are part of the recipe: pip install {name}") from None
        tops = {path.parts[0] for path in found.files or () if path.suffix == ".py" and len(path.parts) > 1}
        stated = [found.metadata[name] for name in ("License-Expression", "License") if name in found.metadata]
        licence = stated[0][:40] if stated else ""
        for top in sorted(top for top in tops if top.isidentifier()):
            yield f"{found.name} {found.version}", Path(str(found.locate_file(top))), licence


def _titled(path: Path) -> Iterator[tuple[str, str]]:
    """The title and the prose of each docstring of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            title, *rest = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").split("\n\n")
            title = " ".join(title.split())
            prose = [" ".join(part.split()) for part in rest if len(part) > 60 and not _NO_PROSE.search(part)]
            text = "\n".join(prose)[:LONGEST_TEXT]
            if 15 <= len(title) <= LONGEST_TITLE and len(text) >= SHORTEST_TEXT and not _NO_PROSE.search(title):
                yield title, text


def asked_for(title: str) -> Iterator[str]:
    """The title, and how somebody would ask for it if it begins with what to do."""
    yield title
    first, _, rest = title.rstrip(".").partition(" ")
    if first.lower() in _VERBS and rest:
        yield f"how do I {first.lower()} {rest}"


def main() -> None:
    """Write the records."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano.docstrings", description=__doc__)
    parser.add_argument("folder", type=Path, help="where docstrings.jsonl.xz goes: the folder of training pairs")
    data.write(parser.parse_args().folder, SOURCE, records())


if __name__ == "__main__":
    main()
