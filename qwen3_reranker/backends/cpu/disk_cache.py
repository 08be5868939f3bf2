"""Arrays made from a checkpoint's weights, kept on disk next to them: named by content, safe to delete at any time.

Folder: .qwen3_reranker in the checkpoint's folder, or where that cannot be written the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qwen3_reranker.backends.cpu.array_file import (
    Arrays,
    Fill,
    Shapes,
    read_arrays,
    remove_abandoned,
    replacing,
    write_arrays,
)
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import Checkpoint, Tensor

FOLDER = ".qwen3_reranker"
_DIGESTS = "digests.json"
# Models whose digests one folder remembers; the user's folder serves all models in read-only folders.
_MAX_DIGESTS = 100
# Digits of the content's SHA-256 in a file's name: 96 bits.
_DIGEST_DIGITS = 24
_LOG = logging.getLogger(__name__)


class DiskCache:
    """Arrays made from one checkpoint; with `enabled` false they are made again each time, in memory."""

    def __init__(self, checkpoint: Checkpoint, enabled: bool) -> None:
        self._checkpoint = checkpoint
        self._folders = _folders(checkpoint) if enabled else []
        self._digest: str | None = None
        self._seen_before = ""
        for folder in self._folders:
            remove_abandoned(folder)

    def arrays(self, recipe: str, shapes: Shapes, fill: Fill) -> Arrays:
        """The arrays of `recipe`, read if they are there and whole, otherwise made by `fill` and written.

        The recipe names everything but the checkpoint that the content depends on. A disk that is full or read-only
        costs the next start its speed, and nothing else. Raises CheckpointError where the weights change meanwhile.
        """
        if not self._folders:
            return _in_memory(shapes, fill)
        name = f"{recipe}-{self.digest()[:_DIGEST_DIGITS]}.safetensors"
        for folder in self._folders:
            try:
                return read_arrays(folder / name, shapes)
            except (FileNotFoundError, NotADirectoryError):
                _LOG.info("%s: not there yet", folder / name)
            except CheckpointError as error:
                _LOG.warning("%s; it is made again", error)

        def fill_by_digest(arrays: Arrays) -> None:
            fill(arrays)
            # A file named by one content must not hold what was made of another.
            if self._seen() != self._seen_before:
                raise CheckpointError(
                    f"{self._checkpoint.folder}: the checkpoint changed while it was read; open it again"
                )

        problems = []
        for folder in self._folders:
            try:
                write_arrays(folder / name, shapes, fill_by_digest)
            except OSError as error:
                problems.append(f"{folder}: {error.strerror or error}")
                continue
            try:
                arrays = read_arrays(folder / name, shapes)
            except (OSError, CheckpointError) as error:
                problems.append(str(error))
                continue
            # The user's folder holds other models' files too, which may still be needed.
            if folder == self._checkpoint.folder / FOLDER:
                _remove_older(folder, recipe, name)
            return arrays
        _LOG.warning(
            "what was made of the weights cannot be kept on disk (%s); the next start makes it again",
            "; ".join(problems),
        )
        # Said once; what is made after the first is little.
        self._folders = []
        return _in_memory(shapes, fill_by_digest)

    def digest(self) -> str:
        """SHA-256 of the network's shape and of all its weights; remembered for files that have not been touched."""
        if self._digest is None:
            seen = self._seen_before = self._seen()
            weights = self._remembered().get(seen)
            if weights is None:
                weights = _digest(self._checkpoint.tensors.values())
                self._remember(seen, weights)
            config = json.dumps(asdict(self._checkpoint.config), sort_keys=True)
            self._digest = hashlib.sha256(f"{config}\n{weights}".encode()).hexdigest()
        return self._digest

    def _seen(self) -> str:
        """What changes when a weight file is written to or replaced, even by one of the same name, size and time."""
        sources = {source for tensor in self._checkpoint.tensors.values() for source in tensor.sources}
        states = []
        for source in sorted(sources, key=lambda source: source.path):
            with source.opened() as file:
                status = os.fstat(file.fileno())
            # No program can set the time of a file's last change of any kind (ctime), as tar, rsync and cp do mtime.
            times = (status.st_mtime_ns, status.st_ctime_ns)
            # Files of two disks may agree in all the numbers.
            states.append((str(source.path.resolve()), status.st_size, *times, status.st_dev, status.st_ino))
        return json.dumps(states)

    def _remembered(self) -> dict[str, str]:
        return {key: value for folder in self._folders for key, value in _digests_in(folder).items()}

    def _remember(self, seen: str, weights: str) -> None:
        for folder in self._folders:
            known = {**_digests_in(folder), seen: weights}
            latest = dict(list(known.items())[-_MAX_DIGESTS:])
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(folder / _DIGESTS) as partial:
                    partial.write_text(json.dumps(latest, indent=1), encoding="utf-8")
                return
            except OSError as error:
                _LOG.info("%s: not remembered (%s)", folder / _DIGESTS, error)


def _folders(checkpoint: Checkpoint) -> list[Path]:
    """Where to look and to write, the first that works."""
    folders = [checkpoint.folder / FOLDER]
    with suppress(RuntimeError):  # a user without a home
        # Its specification says that a path which is not absolute is to be ignored.
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folders.append((named if named.is_absolute() else Path.home() / ".cache") / "qwen3_reranker")
    return folders


def _remove_older(folder: Path, recipe: str, name: str) -> None:
    """Delete what the same recipe made of weights that were here before."""
    older = re.compile(rf"{re.escape(recipe)}-[0-9a-f]{{{_DIGEST_DIGITS}}}\.safetensors")
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != name and older.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def _digest(tensors: Iterable[Tensor]) -> str:
    def line(tensor: Tensor) -> str:
        digest = hashlib.sha256()
        for piece in tensor.content():
            digest.update(piece)
        return f"{tensor.name} {tensor.dtype} {tensor.shape} {digest.hexdigest()}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return hashlib.sha256("\n".join(sorted(pool.map(line, tensors))).encode()).hexdigest()


def _digests_in(folder: Path) -> dict[str, str]:
    path = folder / _DIGESTS
    try:
        # Reading a pipe without a writer would wait for ever.
        known = json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}


def _in_memory(shapes: Shapes, fill: Fill) -> Arrays:
    arrays: Arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
    fill(arrays)
    return arrays
