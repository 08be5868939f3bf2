"""Examples -> the groups of each step, which depend only on seed, epoch and example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.prompt import Template
from qwen3_reranker.records import Row
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.example_file import TrainExample, normal
from qwen3_reranker.train.train_options import TrainOptions

_ORDER, _DRAW = 0, 1


@dataclass(frozen=True, eq=False, slots=True)
class QueryGroup:
    """One query's rows with their labels, 1 or 0, and the teacher's logits, if any."""

    rows: tuple[Row, ...]
    labels: tuple[float, ...]
    teacher: tuple[float, ...] | None

    @property
    def num_tokens(self) -> int:
        """Approximate tokens of the group's tree: the query prefix once, then each document with suffix."""
        head = self.rows[0].boundaries[-1]
        return head + sum(len(row.ids) - head for row in self.rows)


class Groups:
    """Draws groups of token rows from examples.

    tokens: truncates rows; made with truncate_queries, so a query that leaves no space for a document is cut too.
    """

    def __init__(
        self, examples: Sequence[TrainExample], template: Template, tokens: Tokens, options: TrainOptions
    ) -> None:
        self._examples, self._template, self._tokens, self._options = examples, template, tokens, options
        self.steps_per_epoch = options.steps_per_epoch(len(examples))

    def step(self, number: int, rank: int = 0, processes: int = 1) -> list[QueryGroup]:
        """The groups of a step, counted from 0; with several processes the share of `rank`."""
        epoch, index = divmod(number, self.steps_per_epoch)
        order = np.random.default_rng((self._options.seed, epoch, _ORDER)).permutation(len(self._examples))
        size = self._options.batch_groups
        chosen = order[index * size : (index + 1) * size][rank::processes]
        return [self._drawn(int(example), epoch) for example in chosen]

    def groups_of_step(self, number: int) -> int:
        """The number of groups of a step in all processes together."""
        index = number % self.steps_per_epoch
        return min(self._options.batch_groups, len(self._examples) - index * self._options.batch_groups)

    def whole(self, example: TrainExample) -> QueryGroup:
        """The group with all documents of an example, for evaluation."""
        return self._group(example, range(len(example.documents)), [])

    def _drawn(self, index: int, epoch: int) -> QueryGroup:
        rng = np.random.default_rng((self._options.seed, epoch, _DRAW, index))
        example, options = self._examples[index], self._options
        first = len(example.positives)
        positives = rng.permutation(first)[: options.positives]
        negatives = first + rng.permutation(len(example.negatives))[: options.negatives]
        return self._group(example, [*positives.tolist(), *negatives.tolist()], self._random_negatives(example, rng))

    def _random_negatives(self, example: TrainExample, rng: np.random.Generator) -> list[str]:
        """Documents of other queries that the example does not contain."""
        wanted = self._options.random_negatives
        known = {normal(text) for text in example.documents}
        found: list[str] = []
        for index in rng.integers(len(self._examples), size=4 * wanted).tolist():
            other = self._examples[index]
            text = other.documents[int(rng.integers(len(other.documents)))]
            if len(found) < wanted and normal(text) not in known and normal(other.query) != normal(example.query):
                known.add(normal(text))
                found.append(text)
        return found

    def _group(self, example: TrainExample, chosen: Sequence[int], random_negatives: Sequence[str]) -> QueryGroup:
        documents = [example.documents[index] for index in chosen] + list(random_negatives)
        heads, tails = self._template.pieces(example.instruction, [example.query] * len(documents), documents)
        labels = [float(index < len(example.positives)) for index in chosen] + [0.0] * len(random_negatives)
        scores = example.scores
        teacher = None if scores is None or random_negatives else tuple(scores[index] for index in chosen)
        return QueryGroup(tuple(self._tokens.encode(heads, tails)), tuple(labels), teacher)


def pieces(groups: Sequence[QueryGroup], max_tokens: int) -> Iterator[list[QueryGroup]]:
    """The groups in order, in lists of at most `max_tokens` tree tokens or one group."""
    some: list[QueryGroup] = []
    size = 0
    for group in groups:
        if some and size + group.num_tokens > max_tokens:
            yield some
            some, size = [], 0
        some.append(group)
        size += group.num_tokens
    if some:
        yield some
