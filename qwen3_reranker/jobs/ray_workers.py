"""Parts -> what a task makes of them, by actors of Ray with a model each.

This process reads the input and writes the parts, so workers need neither the files nor a shared disk.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

from qwen3_reranker.errors import InputError, RerankerError, UnavailableError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.local_parts import NumberedPart
from qwen3_reranker.jobs.part_task import PartTask, PartWork

# While a worker computes one part, its next one is already on its way.
_PARTS_PER_WORKER = 2
# How often a part may lose its worker: one that always does, as it needs too much memory, must not go on for ever.
_RETRIES = 3
# Of a cluster of this machine alone: it holds the texts of the parts in work.
_OBJECT_STORE_BYTES = 512 << 20


class PartWorker:
    """A worker: the model of a task, opened with the first part so that its errors are those of the part."""

    def __init__(self, task: PartTask[Any, Any]) -> None:
        self._task, self._model = task, None

    def work(self, *texts: Any) -> PartWork:
        """What the task makes of a part. Raises what its model raises."""
        if self._model is None:
            self._model = self._task.open()
        work: PartWork = self._task.work(self._model, *texts)
        return work


def require_ray() -> Any:
    """The library. Raises UnavailableError, which says what to install."""
    # It would count users otherwise, and warn of a variable that it sets itself.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UnavailableError("--engine ray needs Ray: pip install 'qwen3_reranker[ray]'") from None
    return ray


class RayWorkers:
    """Workers on a cluster, as a context. Raises UnavailableError for a cluster that cannot be reached or is too small.

    A cluster that this process is connected to already is used, and not left at the end.
    """

    def __init__(self, task: PartTask[Any, Any], options: JobOptions) -> None:
        self._ray = require_ray()
        self._connected = self._ray.is_initialized()
        if not self._connected:
            self._connect(options.ray_address or os.environ.get("RAY_ADDRESS") or "local")
        try:
            self.count = options.workers or self._that_fit(options)
            actor = self._ray.remote(
                num_cpus=options.cpus_per_worker,
                num_gpus=options.gpus_per_worker,
                max_restarts=-1,
                max_task_retries=_RETRIES,
            )(PartWorker)
            sent = task.on(options.cpus_per_worker)
            self._task, self._workers = task, [actor.remote(sent) for _ in range(self.count)]
        except BaseException:
            self._leave()
            raise

    def worked(self, parts: Iterator[NumberedPart]) -> Iterator[tuple[NumberedPart, Any]]:
        """Each part with what was made of it, as they come. A part whose worker dies is computed by the next one."""
        ray = self._ray
        under_way: dict[Any, tuple[Any, NumberedPart]] = {}
        free = self._workers * _PARTS_PER_WORKER
        while True:
            while free and (part := next(parts, None)) is not None:
                worker = free.pop(0)
                under_way[worker.work.remote(*self._task.texts(part[1]))] = worker, part
            if not under_way:
                return
            [ended], _ = ray.wait(list(under_way), num_returns=1)
            worker, part = under_way.pop(ended)
            try:
                work = ray.get(ended)
            except ray.exceptions.RayTaskError as error:
                raise _of_worker(error, part) from None
            except ray.exceptions.RayError as error:
                reason = str(error).partition("\n")[0]
                raise UnavailableError(f"part {part[0]} lost its worker {_RETRIES + 1} times ({reason})") from None
            free.append(worker)
            yield part, work

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            self._ray.kill(worker)
        self._leave()

    def _connect(self, address: str) -> None:
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES} if address == "local" else {}
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise UnavailableError(f"no Ray cluster at {address} ({str(error).partition(chr(10))[0]})") from None

    def _that_fit(self, options: JobOptions) -> int:
        resources = self._ray.cluster_resources()
        count = int(resources.get("CPU", 0) // options.cpus_per_worker)
        if options.gpus_per_worker:
            count = min(count, int(resources.get("GPU", 0) / options.gpus_per_worker))
        if not count:
            raise UnavailableError(
                f"no worker with {options.cpus_per_worker} CPUs and {options.gpus_per_worker:g} GPUs fits the cluster, "
                f"which has {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
            )
        return count

    def _leave(self) -> None:
        if not self._connected:
            self._ray.shutdown()


def _of_worker(error: Any, part: NumberedPart) -> Exception:
    cause = error.cause
    if isinstance(cause, RerankerError):
        return cause
    return InputError(f"{part[1][0].source}: part {part[0]} failed ({type(cause).__name__}: {cause})")
