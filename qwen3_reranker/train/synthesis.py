"""Passages and a language model -> queries that the passages answer, filtered by a reranker.

The method is the paper's (arXiv 2506.05176, section 3.3 and appendix): the model first chooses who would ask and what
kind of question, then writes the query in a given length and language. The wording of both requests is ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qwen3_reranker.errors import InputError
from qwen3_reranker.search import Bm25
from qwen3_reranker.text_reranker import TextReranker
from qwen3_reranker.train.chat import Chat, ChatError
from qwen3_reranker.train.example_file import TrainExample, line_of, normal, read_examples
from qwen3_reranker.train.synthesis_options import SynthesisOptions

TYPES = {
    "keywords": "a few search keywords",
    "acquire_knowledge": "a question that seeks knowledge",
    "summary": "a request whose answer sums the passage up",
    "yes_or_no": "a question that yes or no answers",
    "background": "a question about the background of something in the passage",
}
DIFFICULTIES = ("high_school", "university", "phd")
_OFFERED = 5
_LONGEST_PASSAGE = 6000

_CONFIGURE = """Read the passage and decide who would look for it, and how.

Passage:
{passage}

Choose
- Character: the one of these who is most likely to look for this passage: {characters}
- Question_Type: the one of {types} that suits the passage
- Difficulty: the one of {difficulties} that suits the passage and the character

Answer with one JSON object and nothing else, for example
{{"Character": "a nurse on a ward", "Question_Type": "acquire_knowledge", "Difficulty": "university"}}"""

_ASK = """You are {character}. Write what you would type into a search engine so that the passage below is what you hope
to find. It must make sense to somebody who has not seen the passage, and the passage must answer it.

Passage:
{passage}

The query is {kind}, of {difficulty} difficulty, about {length} words long, and written in {language}.

Answer with one JSON object and nothing else: {{"query": "..."}}"""


@dataclass(slots=True)
class SynthesisCounts:
    """Counts of a synthesis. unusable: answers without the requested JSON. dropped: by the filter."""

    passages: int = 0
    kept: int = 0
    unusable: int = 0
    repeated: int = 0
    dropped: int = 0
    first_unusable: str = field(default="", repr=False)


def synthesise(
    passages: Sequence[str],
    chat: Chat,
    output: str | os.PathLike[str],
    options: SynthesisOptions | None = None,
    judge: TextReranker | None = None,
    *,
    resume: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> SynthesisCounts:
    """Write an example for each passage with a good query; `mine` adds the negatives.

    judge: the reranker that filters; None keeps every query. resume: continue after the last passage in `output`.
    Raises InputError if `output` exists without resume, ChatError if the server does not respond or the first ten
    answers are unusable.
    """
    options = options or SynthesisOptions()
    path, found = Path(output), SynthesisCounts()
    if path.exists() and not resume:
        raise InputError(f"{path} exists already: choose another path, or continue with --resume")
    path.parent.mkdir(parents=True, exist_ok=True)
    before = read_examples(path) if path.exists() else []
    known = {normal(each.query) for each in before}
    start = 1 + max((int(each.id) for each in before if each.id.isdigit()), default=-1)
    nearest = Bm25(options.personas, options.seed)
    with path.open("a", encoding="utf-8") as file:
        for number in range(start, len(passages)):
            example = _asked(passages[number], number, chat, nearest, options, found)
            if example is not None and _is_kept(example, known, judge, options, found):
                known.add(normal(example.query))
                file.write(line_of(example))
                file.flush()
            if found.unusable == found.passages == 10:
                raise ChatError(f"none of ten answers held the requested JSON; the first: {found.first_unusable!r}")
            if on_progress:
                on_progress((number + 1) / len(passages))
    return found


def _asked(
    passage: str, number: int, chat: Chat, nearest: Bm25, options: SynthesisOptions, found: SynthesisCounts
) -> TrainExample | None:
    rng, languages, lengths = np.random.default_rng((options.seed, number)), options.language_list, options.length_list
    seed, shown = int(rng.integers(2**31)), passage[:_LONGEST_PASSAGE]
    found.passages += 1
    offered = [options.personas[index] for index in nearest.top(shown, _OFFERED)[0].tolist()]
    question = _CONFIGURE.format(
        passage=shown, characters="; ".join(offered), types=", ".join(TYPES), difficulties=", ".join(DIFFICULTIES)
    )
    chosen = _object(chat.ask(question, seed=seed), found)
    kind, difficulty = (
        _one_of(chosen, name, known) for name, known in (("Question_Type", TYPES), ("Difficulty", DIFFICULTIES))
    )
    character = chosen.get("Character") if chosen else None
    if kind is None or difficulty is None or not isinstance(character, str) or not character.strip():
        found.unusable += 1
        return None
    question = _ASK.format(
        character=character.strip()[:200],
        passage=shown,
        kind=TYPES[kind],
        difficulty=difficulty.replace("_", " "),
        length=lengths[int(rng.integers(len(lengths)))],
        language=languages[int(rng.integers(len(languages)))],
    )
    answer = _object(chat.ask(question, seed=seed), found)
    query = answer.get("query") if answer else None
    if not isinstance(query, str) or not query.strip():
        found.unusable += 1
        return None
    return TrainExample(
        " ".join(query.split()), (passage,), (), id=str(number), source=f"synthetic {kind} {difficulty}"
    )


def _is_kept(
    example: TrainExample,
    known: set[str],
    judge: TextReranker | None,
    options: SynthesisOptions,
    found: SynthesisCounts,
) -> bool:
    if normal(example.query) in known or normal(example.query) == normal(example.positives[0]):
        found.repeated += 1
        return False
    if judge is not None:
        [probability] = judge.probabilities([(example.query, example.positives[0])], example.instruction)
        if probability < options.least:
            found.dropped += 1
            return False
    found.kept += 1
    return True


def _object(answer: str, found: SynthesisCounts) -> Mapping[str, Any]:
    """The JSON object in an answer, without thinking or other text. Empty if there is none."""
    text = answer.rpartition("</think>")[2]
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        value = json.loads(match[0]) if match else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        found.first_unusable = found.first_unusable or answer[:80]
        return {}
    return value


def _one_of(chosen: Mapping[str, Any], name: str, known: Sequence[str] | Mapping[str, str]) -> str | None:
    value = chosen.get(name)
    return value if isinstance(value, str) and value in known else None
