"""A checkpoint's weights -> a hash of all of them, remembered for untouched files.

Folder: .qwen3_reranker in the checkpoint's folder, or where that cannot be written the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.replaced_file import replacing
from qwen3_reranker.weights.tensor import Tensor

FOLDER = ".qwen3_reranker"
_DIGESTS = "digests.json"
# Models whose digests one folder remembers; the user's folder serves all models in read-only folders.
_MAX_DIGESTS = 100
_LOG = logging.getLogger(__name__)


def fingerprint(checkpoint: Checkpoint, folders: Sequence[Path] = ()) -> str:
    """SHA-256 of the network's shape and of all its weights. folders: where the hash of weights is remembered."""
    state = weights_state(checkpoint)
    weights = {key: value for folder in folders for key, value in _digests_in(folder).items()}.get(state)
    if weights is None:
        weights = _digest(checkpoint.tensors.values())
        _remember(folders, state, weights)
    config = json.dumps(asdict(checkpoint.config), sort_keys=True)
    return hashlib.sha256(f"{config}\n{weights}".encode()).hexdigest()


def weights_state(checkpoint: Checkpoint) -> str:
    """What differs once a weight file is changed, even at equal name, size and time."""
    sources = {source for tensor in checkpoint.tensors.values() for source in tensor.sources}
    states = []
    for source in sorted(sources, key=lambda source: source.path):
        with source.opened() as file:
            status = os.fstat(file.fileno())
        # No program can set the time of a file's last change of any kind (ctime), as tar, rsync and cp do mtime.
        times = (status.st_mtime_ns, status.st_ctime_ns)
        # Files of two disks may agree in all the numbers.
        states.append((str(source.path.resolve()), status.st_size, *times, status.st_dev, status.st_ino))
    return json.dumps(states)


def cache_folders(checkpoint: Checkpoint) -> list[Path]:
    """Where to look and to write, the first that works."""
    folders = [checkpoint.folder / FOLDER]
    with suppress(RuntimeError):  # a user without a home
        # Its specification says that a path which is not absolute is to be ignored.
        named = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folders.append((named if named.is_absolute() else Path.home() / ".cache") / "qwen3_reranker")
    return folders


def _remember(folders: Sequence[Path], state: str, weights: str) -> None:
    for folder in folders:
        known = {**_digests_in(folder), state: weights}
        latest = dict(list(known.items())[-_MAX_DIGESTS:])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / _DIGESTS) as partial:
                partial.write_text(json.dumps(latest, indent=1), encoding="utf-8")
            return
        except OSError as error:
            _LOG.info("%s: not remembered (%s)", folder / _DIGESTS, error)


def _digest(tensors: Iterable[Tensor]) -> str:
    def line(tensor: Tensor) -> str:
        digest = hashlib.sha256()
        for chunk in tensor.content():
            digest.update(chunk)
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
