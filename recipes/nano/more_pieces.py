"""A tokenizer and English text -> the same tokenizer with more pieces, and vectors for them from what is known.

A vocabulary for 40 languages holds few whole English words, and a word with a capital is cut into other pieces than the
same word without. New merges come after all others, so they only join what the tokenizer left apart.
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recipes.nano import tokenizer
from recipes.nano.data import Record
from recipes.nano.pool import NO_WORD

FEWEST = 8
# A source with many long texts must not fill the vocabulary alone.
CHARACTERS_PER_POOL = 3_000_000
_LETTERS = re.compile(r"\u0120?[A-Za-z]+")


def text_of(records: Iterable[Record]) -> Iterable[str]:
    """The English texts, each once, as they are and with each word capitalised, as in a title."""
    pools: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.pool.endswith("/en"):
            pools[record.pool].update((record.query, *record.positives))
    for pool, texts in sorted(pools.items()):
        room = CHARACTERS_PER_POOL
        for text in random.Random(pool).sample(sorted(texts), len(texts)):
            if room > 0:
                room -= len(text)
                yield f" {text}"
                yield f" {' '.join(word[:1].upper() + word[1:] for word in text.split())}"


def extended(fields: dict[str, Any], texts: Iterable[str], vocab_size: int) -> dict[str, Any]:
    """The tokenizer with up to `vocab_size` base entries: in words, pairs that are most frequent are merged in turn."""
    read = tokenizer.literal(fields)
    assert read.normalizer is not None
    assert read.pre_tokenizer is not None
    counts = Counter(
        word for text in texts for word, _ in read.pre_tokenizer.pre_tokenize_str(read.normalizer.normalize_str(text))
    )
    frequent = (word for word, count in counts.items() if count >= FEWEST and _LETTERS.fullmatch(word))
    words = {word: [token.value for token in read.model.tokenize(word)] for word in frequent}
    merges = _merges({word: pieces for word, pieces in words.items() if len(pieces) > 1}, counts)
    vocabulary = dict(fields["model"]["vocab"])
    added: list[list[str]] = []
    for first, second in merges:
        if len(vocabulary) == vocab_size:
            break
        added.append([first, second])
        vocabulary.setdefault(first + second, len(vocabulary))
    control = [{**token, "id": len(vocabulary) + index} for index, token in enumerate(fields["added_tokens"])]
    model = {**fields["model"], "vocab": vocabulary, "merges": [*fields["model"]["merges"], *added]}
    return {**fields, "model": model, "added_tokens": control}


def _merges(words: dict[str, list[str]], counts: Counter[str]) -> Iterable[tuple[str, str]]:
    """The pairs of pieces to merge, most frequent first; equal ones by their letters."""
    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for word, pieces in words.items():
        for pair in pairwise(pieces):
            pairs[pair] += counts[word]
            places[pair].add(word)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair]:
            # Its count has changed since; where any is left, it stands in the heap with the new one.
            continue
        if -count < FEWEST:
            return
        yield pair
        changed: set[tuple[str, str]] = set()
        for word in sorted(places.pop(pair)):
            pieces = words[word]
            joined = _joined(pieces, pair)
            for sign, cut in ((-1, pieces), (1, joined)):
                for each in pairwise(cut):
                    pairs[each] += sign * counts[word]
                    changed.add(each)
                    if sign > 0:
                        places[each].add(word)
            words[word] = joined
        changed.discard(pair)
        pairs[pair] = 0
        for each in changed:
            if pairs[each] > 0:
                heapq.heappush(heap, (-pairs[each], each))


def _joined(pieces: Sequence[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found


def vectors(old: dict[str, Any], new: dict[str, Any], known_VC: Tensor) -> Tensor:
    """Vectors for the larger vocabulary. known_VC: those of the smaller, in its own order.

    A new piece that spells a known word, with a capital or a space before it, has that word's vector; any other has the
    mean of the pieces that it was cut into.
    """
    base, size = old["model"]["vocab"], len(new["model"]["vocab"])
    word_V = tokenizer.words(new)
    known = {int(word_V[index]): index for index in sorted(base.values(), reverse=True) if word_V[index] != NO_WORD}
    read = tokenizer.literal(old)
    found_VC = torch.zeros(size + len(new["added_tokens"]), known_VC.shape[1])
    found_VC[: len(base)] = known_VC[: len(base)]
    found_VC[size:] = known_VC[len(base) :]
    for piece, index in new["model"]["vocab"].items():
        if index >= len(base):
            alike = known.get(int(word_V[index]))
            ids = [token.id for token in read.model.tokenize(piece)] if alike is None else [alike]
            found_VC[index] = known_VC[np.array(ids)].mean(0)
    return found_VC
