"""Token rows of random trees, for tests of plans and backends: no text, no tokenizer."""

import numpy as np

from qwen3_reranker.records import Receipt, Row

NO_RECEIPT = Receipt(0, 0, 0, 0)
NUM_WORDS = 320


def tree_rows(seed: int, count: int, longest: int) -> list[Row]:
    """Rows of one prefix, three heads and documents that sometimes share a beginning or are equal."""
    random = np.random.default_rng(seed)
    prefix, suffix = random.integers(0, NUM_WORDS, 11), random.integers(0, NUM_WORDS, 3)
    heads = [random.integers(0, NUM_WORDS, int(length)) for length in random.integers(1, 20, 3)]
    title = random.integers(0, NUM_WORDS, 8)
    built = []
    for index in range(count):
        head = heads[int(random.integers(3))]
        document = random.integers(0, NUM_WORDS, int(random.integers(0, longest + 1)))
        document = np.concatenate((title, document)) if index % 3 else document
        ids = np.concatenate((prefix, head, document, suffix)).astype(np.int32)
        built.append(Row(ids, (11, 11 + len(head)), NO_RECEIPT))
    return [*built, *built[:2]]
