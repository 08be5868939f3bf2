"""Parts -> what a task makes of them, one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qwen3_reranker.jobs.part_task import PartTask
from qwen3_reranker.overlap import made_ahead

#: The number of a part, and its rows.
NumberedPart = tuple[int, list[Any]]


def worked_here(
    parts: Iterator[NumberedPart], task: PartTask[Any, Any], model: Any
) -> Iterator[tuple[NumberedPart, Any]]:
    """Each part with what the model made of it, in order. The next part is read meanwhile."""
    for number, rows in made_ahead(parts):
        yield (number, rows), task.work(model, *task.texts(rows))
