"""Arrays made from a checkpoint's weights, kept on disk next to them: named by content, safe to delete at any time.

Folder: .qwen3_reranker in the checkpoint's folder, or where that cannot be written the user's cache folder.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path

import numpy as np

from qwen3_reranker.backends.cpu.array_file import (
    Arrays,
    Fill,
    Shapes,
    read_arrays,
    remove_abandoned,
    write_arrays,
)
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import Checkpoint
from qwen3_reranker.weights.fingerprint import FOLDER, cache_folders, fingerprint, weights_state

# Digits of the content's SHA-256 in a file's name: 96 bits.
_DIGEST_DIGITS = 24
_LOG = logging.getLogger(__name__)


class DiskCache:
    """Arrays made from one checkpoint; with `enabled` false they are made again each time, in memory."""

    def __init__(self, checkpoint: Checkpoint, enabled: bool) -> None:
        self._checkpoint = checkpoint
        self._folders = cache_folders(checkpoint) if enabled else []
        self._digest: str | None = None
        self._state_before = ""
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
            if weights_state(self._checkpoint) != self._state_before:
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
        """The fingerprint of the weights; remembered for files that have not been touched."""
        if self._digest is None:
            self._state_before = weights_state(self._checkpoint)
            self._digest = fingerprint(self._checkpoint, self._folders)
        return self._digest


def _remove_older(folder: Path, recipe: str, name: str) -> None:
    """Delete what the same recipe made of weights that were here before."""
    older = re.compile(rf"{re.escape(recipe)}-[0-9a-f]{{{_DIGEST_DIGITS}}}\.safetensors")
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != name and older.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()


def _in_memory(shapes: Shapes, fill: Fill) -> Arrays:
    arrays: Arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in shapes.items()}
    fill(arrays)
    return arrays
