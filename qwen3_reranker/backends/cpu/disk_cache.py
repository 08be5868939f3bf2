"""What was made of a checkpoint's weights, kept on disk beside them: named by content, safe to delete at any time.

Folder: .qwen3_reranker in the checkpoint's folder, or where that cannot be written the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from qwen3_reranker.backends.cpu.array_file import Arrays, Fill, Shapes, read_arrays, write_arrays
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import Checkpoint, Tensor

FOLDER = ".qwen3_reranker"
_DIGESTS = "digests.json"
_LOG = logging.getLogger(__name__)


class DiskCache:
    """Arrays made from one checkpoint; with `enabled` false everything is made anew, in memory."""

    def __init__(self, checkpoint: Checkpoint, enabled: bool) -> None:
        self._checkpoint = checkpoint
        self._folder = _writable_folder(checkpoint) if enabled else None
        self._digest: str | None = None

    def arrays(self, recipe: str, shapes: Shapes, fill: Fill) -> Arrays:
        """The arrays of `recipe`, read if they are there and whole, otherwise made by `fill` and written.

        The recipe names everything but the weights that the content depends on. A disk that is full or read-only costs
        the next start its speed, and nothing else.
        """
        if self._folder is None:
            return _in_memory(shapes, fill)
        path = self._folder / f"{recipe}-{self.digest()[:24]}.safetensors"
        try:
            return read_arrays(path, shapes)
        except FileNotFoundError:
            _LOG.info("%s: not there yet, so it is made", path)
        except CheckpointError as error:
            _LOG.warning("%s; it is made again", error)
        try:
            write_arrays(path, shapes, fill)
            return read_arrays(path, shapes)
        except (OSError, CheckpointError) as error:
            _LOG.warning("%s cannot be kept on disk (%s); the next start makes it again", path, error)
            return _in_memory(shapes, fill)

    def digest(self) -> str:
        """SHA-256 of the network's shape and of all its weights; remembered by the files' sizes and times."""
        if self._digest is None:
            files = sorted({tensor.source for tensor in self._checkpoint.tensors.values()}, key=lambda file: file.path)
            seen = ";".join(f"{file.path.name},{file.size},{file.modified_ns}" for file in files)
            known = self._remembered()
            self._digest = known.get(seen) or self._computed()
            if seen not in known:
                self._remember({seen: self._digest})
        return self._digest

    def _computed(self) -> str:
        def digest(tensor: Tensor) -> str:
            return f"{tensor.name} {tensor.dtype} {tensor.shape} {hashlib.sha256(tensor.stored().data).hexdigest()}"

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            lines = list(pool.map(digest, self._checkpoint.tensors.values()))
        config = json.dumps(asdict(self._checkpoint.config), sort_keys=True)
        return hashlib.sha256("\n".join([config, *sorted(lines)]).encode()).hexdigest()

    def _remembered(self) -> dict[str, str]:
        assert self._folder is not None
        try:
            known = json.loads((self._folder / _DIGESTS).read_bytes())
        except (OSError, ValueError):
            return {}
        return {key: value for key, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}

    def _remember(self, known: dict[str, str]) -> None:
        assert self._folder is not None
        scratch = self._folder / f"{_DIGESTS}.{os.getpid()}.partial"
        with suppress(OSError):
            scratch.write_text(json.dumps(known), encoding="utf-8")
            os.replace(scratch, self._folder / _DIGESTS)


def _writable_folder(checkpoint: Checkpoint) -> Path | None:
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qwen3_reranker"
    for folder in (checkpoint.folder / FOLDER, user):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f"probe.{os.getpid()}.partial"
            probe.touch()
            probe.unlink()
        except OSError:
            continue
        return folder
    _LOG.warning("neither %s nor %s can be written, so nothing is kept for the next start", checkpoint.folder, user)
    return None


def _in_memory(shapes: Shapes, fill: Fill) -> Arrays:
    arrays: Arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
    fill(arrays)
    return arrays
