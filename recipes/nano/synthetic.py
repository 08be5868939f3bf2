"""Passages -> queries cut from them: a title, a sentence, a span, keywords. They teach matching before questions do."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from qwen3_reranker.prompt import DEFAULT_INSTRUCTION
from recipes.nano.data import Record

SHORTEST_PASSAGE = 80
# A default-instruction share of one half: users seldom write their own.
DEFAULT_SHARE = 0.5

# How English asks for a subject: what stands around it says nothing about what is wanted.
ASKING = (
    "papers about {}", "I am looking for information on {}.", "Find everything that is known about {}.",
    "Which texts discuss {}?", "Is there any work on {}?", "Describe {}.", "documents on the subject of {}",
    "I would like to read about {}.", "Give an overview of {}.", "Are there results concerning {}?", "explain {}",
    "anything about {}", "What is known about {}?", "help with {}", "how does {} work?", "why is there {}?",
)  # fmt: skip
ASKING_SHARE = 0.4

_SENTENCE = re.compile(r"[^.!?。！？؟।\n]+[.!?。！？؟।]?")
_WORD = re.compile(r"\w+")
# Scripts written without spaces: a run of letters is no word there, so spans of characters stand in for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def records(originals: Iterable[Record], seed: int, most_per_pool: int) -> Iterator[Record]:
    """One synthetic record for each distinct passage, at most `most_per_pool` in a pool, in random order."""
    passages: dict[str, dict[str, str]] = {}
    for record in originals:
        pool = passages.setdefault(record.pool, {})
        for text in record.positives:
            if len(text) >= SHORTEST_PASSAGE and not record.held_out:
                pool.setdefault(text, record.instruction)
    for name, pool in sorted(passages.items()):
        rng = random.Random(f"{seed}/{name}")
        chosen = sorted(pool.items())
        rng.shuffle(chosen)
        chosen = chosen[:most_per_pool]
        counts = document_counts(text for text, _ in chosen)
        for text, instruction in chosen:
            cut = cut_query(window(text, rng), counts, rng, name.endswith("/en"))
            if cut is not None:
                query, passage = cut
                said = DEFAULT_INSTRUCTION if rng.random() < DEFAULT_SHARE else instruction
                # A pool of its own: there, each passage stands once, so no copy of it can be its own negative.
                pool_name = f"{name}#synthetic"
                yield Record(query, (passage,), (), said, name.partition("/")[0], pool_name, False, synthetic=True)


def window(passage: str, rng: random.Random) -> str:
    """A part of the passage that training does not cut: its start, or a random part."""
    longest = rng.randint(120, 240) if _UNSPACED.search(passage) else rng.randint(200, 500)
    if len(passage) <= longest or rng.random() < 0.4:
        return passage[:longest]
    start = rng.randrange(len(passage) - longest)
    # From the start of a word, where there are words.
    space = passage.find(" ", start, start + 30)
    return passage[start if space < 0 else space + 1 :][:longest]


def document_counts(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each lower-case word occurs."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(_WORD.findall(text.lower())))
    return counts


def cut_query(
    passage: str, counts: Counter[str], rng: random.Random, is_english: bool = False
) -> tuple[str, str] | None:
    """A query cut from the passage, and the passage, without the cut text in part of the cases; None if too short."""
    kind = rng.random()
    if kind < 0.25:
        first, _, rest = passage.partition("\n")
        if 3 <= len(first) <= 100 and len(rest) >= SHORTEST_PASSAGE:
            return first, rest if rng.random() < 0.5 else passage
    if kind < 0.5:
        sentences = [text.strip() for text in _SENTENCE.findall(passage)]
        sentences = [text for text in sentences if 15 <= len(text) <= 160]
        if len(sentences) >= 2:
            sentence = rng.choice(sentences)
            remaining = passage.replace(sentence, "", 1).strip()
            return sentence, remaining if rng.random() < 0.5 and len(remaining) >= 40 else passage
    if _UNSPACED.search(passage):
        return _characters(passage, rng)
    words = _WORD.findall(passage)
    if len(words) < 8:
        return None
    if kind < 0.65:
        # Some as long as a described need for information.
        length = rng.randint(3, 8) if rng.random() < 0.6 else rng.randint(12, 35)
        first_word = rng.randrange(max(1, len(words) - length))
        query = " ".join(words[first_word : first_word + length])
    else:
        query = _keywords(words, counts, rng)
    if is_english and rng.random() < ASKING_SHARE:
        query = rng.choice(ASKING).format(query)
    return query, passage


def _keywords(words: Sequence[str], counts: Counter[str], rng: random.Random) -> str:
    distinct = list(dict.fromkeys(word for word in words if len(word) >= 3 or word.isdigit()))
    if not distinct:
        return " ".join(words[:4])
    # Rare words first, blurred: a query names what a passage is about, not only its rarest word.
    weighted = sorted(distinct, key=lambda word: counts[word.lower()] * rng.uniform(0.2, 5.0))
    chosen = weighted[: rng.randint(2, 6)]
    rng.shuffle(chosen)
    text = " ".join(chosen)
    return text.lower() if rng.random() < 0.5 else text


def _characters(passage: str, rng: random.Random) -> tuple[str, str] | None:
    runs = [run for run in _WORD.findall(passage) if len(run) >= 3]
    if not runs:
        return None
    spans = []
    for run in rng.sample(runs, min(len(runs), rng.randint(1, 4))):
        length = min(len(run), rng.randint(3, 8))
        start = rng.randrange(len(run) - length + 1)
        spans.append(run[start : start + length])
    return " ".join(spans), passage
