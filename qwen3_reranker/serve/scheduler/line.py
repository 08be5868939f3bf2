"""Line: rows that wait for their turn, in an order that is fair to owners and, among an owner's, to requests."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from qwen3_reranker.serve.scheduler.job import Job

# Tokens that an owner is given before another's turn: small against a batch, so that a batch serves many.
_QUANTUM = 512


@dataclass(frozen=True, slots=True)
class Taken:
    """A row on its way to the network, and the tokens that it is charged."""

    job: Job
    place: int
    tokens: int


@dataclass(slots=True)
class _Waiting:
    """Rows of one job that wait, as numbers into `job.order`."""

    job: Job
    numbers: list[int]
    next: int = 0

    def next_tokens(self, with_neighbours: bool) -> int:
        """What the next row takes: behind its neighbour little, and in a batch without it all but the template."""
        number = self.numbers[self.next]
        follows = with_neighbours and self.next > 0 and self.numbers[self.next - 1] == number - 1
        return int(self.job.added_R[number]) if follows else self.job.alone(number)


@dataclass(slots=True)
class _Owner:
    """What one owner has waiting. Its requests go by `tag`: what the owner had been served when it came, plus its cost.

    A small request overtakes a large one, which waits for no more than its own size all the same: after that many
    tokens, everything that comes has a larger tag.
    """

    served: int
    waiting: list[tuple[int, int, _Waiting]] = field(default_factory=list)


class Line:
    """Owners take turns by tokens served, whatever the sizes of their requests; not safe for threads by itself."""

    def __init__(self) -> None:
        self._owners: dict[int, _Owner] = {}
        self._clock = 0
        self._arrivals = 0
        #: Tokens that wait, jobs that have ended included until they are met or dropped.
        self.tokens = 0

    def __bool__(self) -> bool:
        return bool(self._owners)

    def add(self, job: Job, numbers: list[int]) -> None:
        """Let the rows `job.order[number]` wait."""
        if not numbers:
            return
        # Who was away has saved nothing up, or it would shut everybody else out on its return.
        owner = self._owners.setdefault(job.owner, _Owner(self._clock))
        cost = int(job.added_R[numbers].sum())
        self._arrivals += 1
        heapq.heappush(owner.waiting, (owner.served + cost, self._arrivals, _Waiting(job, numbers)))
        self.tokens += cost

    def drop(self, job: Job) -> None:
        """Forget the rows of a job that has ended."""
        owner = self._owners.get(job.owner)
        if owner is None:
            return
        kept = [entry for entry in owner.waiting if entry[2].job is not job]
        for _, _, waiting in owner.waiting:
            if waiting.job is job:
                self.tokens -= int(job.added_R[waiting.numbers[waiting.next :]].sum())
        heapq.heapify(kept)
        owner.waiting = kept
        if not kept:
            del self._owners[job.owner]

    def take(self, most_tokens: int, most_rows: int | None = None) -> list[Taken]:
        """The rows of the next batch: as many as `most_tokens` hold, and one at least."""
        taken: list[Taken] = []
        together: set[Job] = set()
        held = 0
        turns = [(owner.served, number) for number, owner in self._owners.items()]
        heapq.heapify(turns)
        while turns:
            served, number = heapq.heappop(turns)
            self._clock = max(self._clock, served)
            owner = self._owners[number]
            limit = owner.served + _QUANTUM
            while owner.waiting and owner.served < limit:
                waiting = owner.waiting[0][2]
                tokens = waiting.next_tokens(waiting.job in together)
                if taken and (held + tokens > most_tokens or len(taken) == most_rows):
                    return taken
                taken.append(self._give(owner, waiting, tokens))
                together.add(waiting.job)
                held += tokens
            if owner.waiting:
                heapq.heappush(turns, (owner.served, number))
            else:
                del self._owners[number]
        return taken

    def _give(self, owner: _Owner, waiting: _Waiting, tokens: int) -> Taken:
        job, number = waiting.job, waiting.numbers[waiting.next]
        owner.served += tokens
        waiting.next += 1
        self.tokens -= int(job.added_R[number])
        if waiting.next == len(waiting.numbers):
            heapq.heappop(owner.waiting)
        return Taken(job, job.order[number], tokens)
