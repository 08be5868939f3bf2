"""What was made of a checkpoint's weights, kept on disk beside them: named by content, safe to delete at any time.

Folder: .qwen3_reranker in the checkpoint's folder, or where that cannot be written the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qwen3_reranker.backends.cpu.array_file import Arrays, Fill, Shapes, read_arrays, scratch_beside, write_arrays
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import Checkpoint, Tensor

FOLDER = ".qwen3_reranker"
_DIGESTS = "digests.json"
# Models whose digests one folder remembers; the user's folder serves all those that cannot be written beside.
_MOST_DIGESTS = 100
_BYTES_AT_ONCE = 8 << 20
_LOG = logging.getLogger(__name__)


class DiskCache:
    """Arrays made from one checkpoint; with `enabled` false everything is made anew, in memory."""

    def __init__(self, checkpoint: Checkpoint, enabled: bool) -> None:
        self._checkpoint = checkpoint
        self._folders = _folders(checkpoint) if enabled else []
        self._digest: str | None = None

    def arrays(self, recipe: str, shapes: Shapes, fill: Fill) -> Arrays:
        """The arrays of `recipe`, read if they are there and whole, otherwise made by `fill` and written.

        The recipe names everything but the checkpoint that the content depends on. A disk that is full or read-only
        costs the next start its speed, and nothing else.
        """
        if not self._folders:
            return _in_memory(shapes, fill)
        name = f"{recipe}-{self.digest()[:24]}.safetensors"
        for folder in self._folders:
            try:
                return read_arrays(folder / name, shapes)
            except (FileNotFoundError, NotADirectoryError):
                _LOG.info("%s: not there yet", folder / name)
            except CheckpointError as error:
                _LOG.warning("%s; it is made again", error)
        problems = []
        for folder in self._folders:
            try:
                write_arrays(folder / name, shapes, fill)
                return read_arrays(folder / name, shapes)
            except (OSError, CheckpointError) as error:
                problems.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
        _LOG.warning("8-bit weights cannot be kept on disk (%s); the next start makes them again", "; ".join(problems))
        # Said once; what is made after them is little.
        self._folders = []
        return _in_memory(shapes, fill)

    def digest(self) -> str:
        """SHA-256 of the network's shape and of all its weights; remembered for files that have not been touched."""
        if self._digest is None:
            seen = self._seen()
            weights = self._remembered().get(seen)
            if weights is None:
                weights = _digest(self._checkpoint.tensors.values())
                self._remember(seen, weights)
            config = json.dumps(asdict(self._checkpoint.config), sort_keys=True)
            self._digest = hashlib.sha256(f"{config}\n{weights}".encode()).hexdigest()
        return self._digest

    def _seen(self) -> str:
        """What changes when a weight file is written to or replaced, even by one of the same name, size and time."""
        sources = {tensor.source for tensor in self._checkpoint.tensors.values()}
        lines = []
        for source in sorted(sources, key=lambda source: source.path):
            with source.opened() as file:
                status = os.fstat(file.fileno())
            # No program can set the time of a file's last change of any kind (ctime), as tar, rsync and cp do mtime.
            times = f"{status.st_mtime_ns},{status.st_ctime_ns}"
            lines.append(f"{source.path.name},{status.st_size},{times},{status.st_ino}")
        return ";".join(lines)

    def _remembered(self) -> dict[str, str]:
        return {key: value for folder in self._folders for key, value in _digests_in(folder).items()}

    def _remember(self, seen: str, weights: str) -> None:
        for folder in self._folders:
            known = {**_digests_in(folder), seen: weights}
            latest = dict(list(known.items())[-_MOST_DIGESTS:])
            scratch = scratch_beside(folder / _DIGESTS)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                scratch.write_text(json.dumps(latest, indent=1), encoding="utf-8")
                os.replace(scratch, folder / _DIGESTS)
                return
            except OSError as error:
                _LOG.info("%s: not remembered (%s)", folder / _DIGESTS, error)
                with suppress(OSError):
                    scratch.unlink()


def _folders(checkpoint: Checkpoint) -> list[Path]:
    """Where to look and to write, the first that works."""
    folders = [checkpoint.folder / FOLDER]
    with suppress(RuntimeError):  # a user without a home
        folders.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qwen3_reranker")
    return folders


def _digest(tensors: Iterable[Tensor]) -> str:
    def line(tensor: Tensor) -> str:
        digest, stored = hashlib.sha256(), tensor.stored()
        for start in range(0, len(stored), _BYTES_AT_ONCE):
            digest.update(stored[start : start + _BYTES_AT_ONCE].data)
            # Word vectors alone may be more than memory holds.
            tensor.give_back_pages()
        return f"{tensor.name} {tensor.dtype} {tensor.shape} {digest.hexdigest()}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return hashlib.sha256("\n".join(sorted(pool.map(line, tensors))).encode()).hexdigest()


def _digests_in(folder: Path) -> dict[str, str]:
    try:
        known = json.loads((folder / _DIGESTS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}


def _in_memory(shapes: Shapes, fill: Fill) -> Arrays:
    arrays: Arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
    fill(arrays)
    return arrays
