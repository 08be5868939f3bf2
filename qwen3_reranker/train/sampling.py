"""Examples -> the groups of each step: a function of seed, epoch and example alone, so a run resumes exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.prompt import Template
from qwen3_reranker.records import Row
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.examples import Example, normal
from qwen3_reranker.train.options import TrainOptions

_ORDER, _DRAW = 0, 1


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """One query's rows with their labels, 1 or 0, and the teacher's logits where there are any."""

    rows: tuple[Row, ...]
    labels: tuple[float, ...]
    teacher: tuple[float, ...] | None

    @property
    def num_tokens(self) -> int:
        """About what the group's tree holds: the head once, each document and the suffix."""
        head = self.rows[0].boundaries[-1]
        return head + sum(len(row.ids) - head for row in self.rows)


class Groups:
    """Groups of token rows out of examples.

    tokens: cuts rows; a query that leaves no room for a document is cut as well, as it is made with truncate_queries.
    """

    def __init__(self, examples: Sequence[Example], template: Template, tokens: Tokens, options: TrainOptions) -> None:
        self._examples, self._template, self._tokens, self._options = examples, template, tokens, options
        self.steps_per_epoch = options.steps_per_epoch(len(examples))

    def step(self, number: int, rank: int = 0, processes: int = 1) -> list[Group]:
        """The groups of a step, counted from 0, or the share of one of several processes."""
        epoch, place = divmod(number, self.steps_per_epoch)
        order = np.random.default_rng((self._options.seed, epoch, _ORDER)).permutation(len(self._examples))
        size = self._options.batch_groups
        chosen = order[place * size : (place + 1) * size][rank::processes]
        return [self._drawn(int(index), epoch) for index in chosen]

    def groups_of_step(self, number: int) -> int:
        """How many groups the step has in all processes together."""
        place = number % self.steps_per_epoch
        return min(self._options.batch_groups, len(self._examples) - place * self._options.batch_groups)

    def whole(self, example: Example) -> Group:
        """The group of all documents of an example, for evaluation."""
        return self._group(example, range(len(example.documents)), [])

    def _drawn(self, index: int, epoch: int) -> Group:
        rng = np.random.default_rng((self._options.seed, epoch, _DRAW, index))
        example, options = self._examples[index], self._options
        first = len(example.positives)
        positives = rng.permutation(first)[: options.positives]
        negatives = first + rng.permutation(len(example.negatives))[: options.negatives]
        return self._group(example, [*positives.tolist(), *negatives.tolist()], self._strangers(example, rng))

    def _strangers(self, example: Example, rng: np.random.Generator) -> list[str]:
        """Documents of other queries, none of which stands in the example."""
        wanted = self._options.random_negatives
        known = {normal(text) for text in example.documents}
        found: list[str] = []
        for place in rng.integers(len(self._examples), size=4 * wanted).tolist():
            other = self._examples[place]
            text = other.documents[int(rng.integers(len(other.documents)))]
            if len(found) < wanted and normal(text) not in known and normal(other.query) != normal(example.query):
                known.add(normal(text))
                found.append(text)
        return found

    def _group(self, example: Example, places: Sequence[int], strangers: Sequence[str]) -> Group:
        documents = [example.documents[place] for place in places] + list(strangers)
        heads, tails = self._template.pieces(example.instruction, [example.query] * len(documents), documents)
        labels = [float(place < len(example.positives)) for place in places] + [0.0] * len(strangers)
        scores = example.scores
        teacher = None if scores is None or strangers else tuple(scores[place] for place in places)
        return Group(tuple(self._tokens.encode(heads, tails)), tuple(labels), teacher)


def pieces(groups: Sequence[Group], max_tokens: int) -> Iterator[list[Group]]:
    """The groups in order, in lists of at most `max_tokens` tree tokens, one group at least."""
    some: list[Group] = []
    size = 0
    for group in groups:
        if some and size + group.num_tokens > max_tokens:
            yield some
            some, size = [], 0
        some.append(group)
        size += group.num_tokens
    if some:
        yield some
