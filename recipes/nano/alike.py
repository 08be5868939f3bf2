"""Short English texts -> pairs that mean the same to the teacher: python -m recipes.nano.alike FOLDER

The texts are queries of FOLDER's own sources. A text's nearest neighbour is its answer, and less near ones are none:
so many words meet at the price of a few tokens that other words for the same thing are learned from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.nano import data
from recipes.nano.docstrings import asked_for
from recipes.nano.teacher import Teacher

SOURCE = "alike"
SOURCES = frozenset(("tldr", "docstrings", "codenn_so", "nl2bash"))
INSTRUCTION = "Given a text, retrieve the text that says the same in other words"
LONGEST = 100
# By the teacher the cosine of "Revert the most recent commit" with "Remove the most recent commit" is 0.954, with "Show
# changes made to files" 0.848.
ALIKE, SAME = 0.9, 0.985
NEGATIVES = slice(8, 40, 4)
ROWS_AT_ONCE = 1_000


def records(folder: Path, vectors: Callable[[Sequence[str]], NDArray[np.float16]]) -> Iterator[dict[str, object]]:
    """A training record for each text that has a neighbour. vectors: of unit length, (N, width)."""
    read = (record for record in data.read(folder) if record.source in SOURCES and record.pool.endswith("/en"))
    short = {record.query for record in read if len(record.query) <= LONGEST and not record.held_out}
    # Of docstrings' titles both forms are there.
    texts = sorted(text for text in short if not text.startswith("how do I "))
    unit_NH = vectors(texts).astype(np.float32)
    for first in range(0, len(texts), ROWS_AT_ONCE):
        near_RN = unit_NH[first : first + ROWS_AT_ONCE] @ unit_NH.T
        best_RK = np.argpartition(-near_RN, min(NEGATIVES.stop, len(texts) - 1), axis=1)[:, : NEGATIVES.stop]
        for text, near_N, best_K in zip(texts[first : first + ROWS_AT_ONCE], near_RN, best_RK, strict=True):
            # Nearer than SAME is the same text with another number or mark.
            ordered = [int(index) for index in best_K[np.argsort(-near_N[best_K])] if near_N[index] < SAME]
            if ordered and near_N[ordered[0]] >= ALIKE:
                for query in asked_for(text):
                    yield {
                        "query": query, "pos": [texts[ordered[0]]], "lang": "en", "source": SOURCE,
                        "neg": [texts[index] for index in ordered[NEGATIVES]], "instruction": INSTRUCTION,
                    }  # fmt: skip


def main() -> None:
    """Write the records."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano.alike", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"the folder of training pairs, where {SOURCE}.jsonl.xz goes too")
    folder = parser.parse_args().folder
    teacher = Teacher()
    data.write(folder, SOURCE, records(folder, lambda texts: teacher.vectors(texts, "query", LONGEST)))


if __name__ == "__main__":
    main()
