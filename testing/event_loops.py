"""Whether a coroutine leaves its event loop free while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from qwen3_reranker.runner import Runner

Result = TypeVar("Result")


def run_while_loop_is_free(runner: Runner, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The result of `work`, which uses the runner's model while the loop does something else.

    The model is held by the loop's thread for some turns of the loop, so work in that thread is an InputError.
    """

    async def both() -> Result:
        task = asyncio.create_task(work())
        with runner._exclusive("used"):
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert not task.done(), "it did not use the model"
        return await task

    return asyncio.run(both())
