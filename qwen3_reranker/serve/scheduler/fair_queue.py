"""FairQueue: waiting rows in an order that is fair to tenants and requests."""

from __future__ import annotations

import heapq
from collections.abc import Set
from dataclasses import dataclass, field

from qwen3_reranker.serve.scheduler.request import ScheduledRequest

# Tokens that a tenant gets before the next tenant's turn: few against a batch, so that a batch serves many tenants.
_QUANTUM = 128


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """A row of a batch: its index in `request.rows`, and its tokens."""

    request: ScheduledRequest
    index: int
    tokens: int


@dataclass(slots=True)
class QueuedRows:
    """Waiting rows of one request, as positions in `request.order`."""

    request: ScheduledRequest
    numbers: list[int]
    next: int = 0

    def next_tokens(self, with_neighbours: bool) -> int:
        """Tokens that the next row adds to a batch, with its neighbour or without."""
        number = self.numbers[self.next]
        follows = with_neighbours and self.next > 0 and self.numbers[self.next - 1] == number - 1
        return int(self.request.added_R[number]) if follows else self.request.tokens_alone(number)


@dataclass(slots=True)
class _Tenant:
    """The queue of one tenant. Requests are ordered by a tag: the tenant's served tokens at arrival, plus their cost.

    A small request overtakes a large one. The large one still waits for no more tokens than its own cost: after that
    many, every new request has a larger tag.
    """

    served: int
    queue: list[tuple[int, int, QueuedRows]] = field(default_factory=list)
    tokens: int = 0


class FairQueue:
    """Tenants take turns by tokens served, whatever the sizes of their requests; not thread-safe."""

    def __init__(self) -> None:
        self._tenants: dict[int, _Tenant] = {}
        self._virtual_time = 0
        self._arrivals = 0
        #: Waiting tokens; those of ended requests count until they are popped or removed.
        self.tokens = 0

    def __bool__(self) -> bool:
        return bool(self._tenants)

    def add(self, request: ScheduledRequest, numbers: list[int]) -> None:
        """Queue the rows `request.order[number]`."""
        if not numbers:
            return
        # An idle tenant starts at the current virtual time, so it cannot starve the others when it returns.
        tenant = self._tenants.setdefault(request.tenant, _Tenant(self._virtual_time))
        cost = int(request.added_R[numbers].sum())
        self._arrivals += 1
        heapq.heappush(tenant.queue, (tenant.served + cost, self._arrivals, QueuedRows(request, numbers)))
        self.tokens += cost
        tenant.tokens += cost

    @property
    def tenants(self) -> Set[int]:
        """Those whose rows wait."""
        return self._tenants.keys()

    def tokens_of(self, tenant: int) -> int:
        """Waiting tokens of a tenant."""
        return self._tenants[tenant].tokens if tenant in self._tenants else 0

    def remove(self, request: ScheduledRequest) -> None:
        """Drop the rows of a request that has ended."""
        tenant = self._tenants.get(request.tenant)
        if tenant is None:
            return
        for _, _, queued in tenant.queue:
            if queued.request is request:
                tokens = int(request.added_R[queued.numbers[queued.next :]].sum())
                self.tokens -= tokens
                tenant.tokens -= tokens
        tenant.queue = [entry for entry in tenant.queue if entry[2].request is not request]
        heapq.heapify(tenant.queue)
        if not tenant.queue:
            del self._tenants[request.tenant]

    def pop_batch(self, max_tokens: int, max_rows: int | None = None) -> list[ScheduledRow]:
        """Pop the rows of the next batch: up to `max_tokens`, and at least one row."""
        batch: list[ScheduledRow] = []
        requests: set[ScheduledRequest] = set()
        total = 0
        turns = [(tenant.served, id) for id, tenant in self._tenants.items()]
        heapq.heapify(turns)
        while turns:
            served, id = heapq.heappop(turns)
            self._virtual_time = max(self._virtual_time, served)
            tenant = self._tenants[id]
            limit = tenant.served + _QUANTUM
            while tenant.queue and tenant.served < limit:
                queued = tenant.queue[0][2]
                tokens = queued.next_tokens(queued.request in requests)
                if batch and (total + tokens > max_tokens or len(batch) == max_rows):
                    return batch
                batch.append(self._pop_row(tenant, queued, tokens))
                requests.add(queued.request)
                total += tokens
            if tenant.queue:
                heapq.heappush(turns, (tenant.served, id))
            else:
                del self._tenants[id]
        return batch

    def _pop_row(self, tenant: _Tenant, queued: QueuedRows, tokens: int) -> ScheduledRow:
        request, number = queued.request, queued.numbers[queued.next]
        tenant.served += tokens
        queued.next += 1
        self.tokens -= int(request.added_R[number])
        tenant.tokens -= int(request.added_R[number])
        if queued.next == len(queued.numbers):
            heapq.heappop(tenant.queue)
        return ScheduledRow(request, request.order[number], tokens)
