"""What tests of a live server share."""

from collections.abc import Iterator

import pytest

from testing.live_server import Live
from testing.watch import Watch


@pytest.fixture
def watch(live: Live) -> Iterator[Watch]:
    """Watches the one reranker of the module's `live` server, until the test ends."""
    [model] = live.application.context.models.rerankers
    before = model.scheduler.scorer
    watching = model.scheduler.scorer = Watch(model.reranker)
    yield watching
    watching.door.set()
    model.scheduler.scorer = before
