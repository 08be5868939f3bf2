"""Clones of free textbooks -> English prose with what asks for it: python -m recipes.nano.textbooks FOLDER CLONES

A section's title, a term and its meaning, and a question for review are queries; a paragraph is the text that answers.
The books are OpenStax's, each at its last commit under CC BY 4.0 (see BOOKS): their licence has changed since.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from qwen3_reranker.errors import InputError
from recipes.nano import data

SOURCE = "textbooks"
INSTRUCTION = "Given a topic or a question, retrieve the passage of a textbook that explains it"
# Folder below CLONES, a clone of github.com/openstax/osbooks-NAME, and the commit that is read.
BOOKS = {
    "american-government": "5c90dd7907db",
    "astronomy": "63157f370b09",
    "chemistry-bundle": "32c719622fbb",
    "college-physics-bundle": "f98d7a792138",
    "introduction-business": "78c9e7ad4e58",
    "introduction-philosophy": "d7bd4f0f5205",
    "introduction-python-programming": "d6d069bb2467",
    "introduction-sociology": "d35d5f3bdac4",
    "introductory-statistics-bundle": "50ec91749080",
    "microbiology": "ecf34dad129d",
    "principles-economics-bundle": "cd31beb103ff",
    "psychology": "e061043bf2f9",
    "university-physics-bundle": "db44eb99e9aa",
    "us-history": "046331cfcea0",
}
SHORTEST, LONGEST = 200, 900
_CNXML = "{http://cnx.rice.edu/cnxml}"
# What stands beside the text and not in it.
_BESIDE = frozenset(("figure", "table", "note", "exercise", "list", "equation", "metadata", "glossary", "footnote"))
_MATHEMATICS = "{http://www.w3.org/1998/Math/MathML}math"
_WORD = re.compile(r"[a-z]{4,}")
_NO_TOPIC = re.compile(r"introduction|summary|review|exercise|question|key |references|chapter|homework|learning", re.I)


def records(clones: Path, books: Mapping[str, str] = BOOKS) -> Iterator[dict[str, object]]:
    """A training record for each query. Raises InputError where a clone is missing."""
    for name, commit in books.items():
        for module in _modules(clones / name, commit):
            for query, text in _pairs(module):
                yield {
                    "query": query, "pos": [text], "neg": [], "lang": "en", "source": SOURCE,
                    "instruction": INSTRUCTION, "from": f"osbooks-{name} {commit}", "licence": "CC BY 4.0",
                }  # fmt: skip


def _modules(clone: Path, commit: str) -> Iterator[ElementTree.Element]:
    if not clone.exists():
        raise InputError(f"{clone}: expected a clone of https://github.com/openstax/osbooks-{clone.name}")
    names = _git(clone, "ls-tree", "-r", "--name-only", commit, "modules").split()
    for path in sorted(name for name in names if name.endswith("index.cnxml")):
        yield ElementTree.fromstring(_git(clone, "show", f"{commit}:{path}"))


def _git(clone: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(clone), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{clone}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def _pairs(module: ElementTree.Element) -> Iterator[tuple[str, str]]:
    content, title = module.find(f"{_CNXML}content"), _text(module.find(f"{_CNXML}title"))
    if content is None:
        return
    passages: list[str] = []
    for topic, texts in _sections(content, title):
        passages += texts
        if texts and not _NO_TOPIC.search(topic):
            yield topic, texts[0]
    for definition in module.iter(f"{_CNXML}definition"):
        term, meaning = _text(definition.find(f"{_CNXML}term")), _text(definition.find(f"{_CNXML}meaning"))
        found = next((text for text in passages if term and term.lower() in text.lower()), None)
        if found is not None and len(meaning) >= 20:
            yield meaning, found
            yield f"what is {term}?", found
    for problem in module.iter(f"{_CNXML}problem"):
        question = _text(problem)
        words = set(_WORD.findall(question.lower()))
        if question.endswith("?") and 30 <= len(question) <= 250 and len(words) >= 4 and passages:
            # No book says which passage answers: it is the one that shares most words, if it shares half of them.
            found = max(passages, key=lambda text: len(words & set(_WORD.findall(text.lower()))))
            if 2 * len(words & set(_WORD.findall(found.lower()))) >= len(words):
                yield question, found


def _sections(part: ElementTree.Element, title: str) -> Iterator[tuple[str, list[str]]]:
    """Each section's title and its passages, without those of the sections inside."""
    passages: list[str] = []
    for child in part:
        name = child.tag.removeprefix(_CNXML)
        if name == "section":
            yield from _sections(child, _text(child.find(f"{_CNXML}title")))
        elif name == "para" and child.find(f".//{_MATHEMATICS}") is None:
            text = _text(child)
            if passages and len(passages[-1]) < SHORTEST:
                passages[-1] += " " + text
            else:
                passages.append(text)
    yield title, [text[:LONGEST] for text in passages if len(text) >= SHORTEST]


def _text(element: ElementTree.Element | None) -> str:
    return " ".join("".join(_pieces(element)).split()) if element is not None else ""


def _pieces(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag.removeprefix(_CNXML) not in _BESIDE:
            yield from _pieces(child)
        yield child.tail or ""


def main() -> None:
    """Write the records."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano.textbooks", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"where {SOURCE}.jsonl.xz goes: the folder of training pairs")
    parser.add_argument("clones", type=Path, help="the folder that holds a clone of each book")
    options = parser.parse_args()
    data.write(options.folder, SOURCE, records(options.clones))


if __name__ == "__main__":
    main()
