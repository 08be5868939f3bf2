"""What every worker speaks: a JSON object a line on standard input, one a line back; standard library only."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

Pair = tuple[str, str]
Settings = dict[str, Any]


class Batch(NamedTuple):
    """One batch of a rival: indices of pairs, their logits, and the computed tokens."""

    places: Sequence[int]
    logits: Sequence[float]
    computed_tokens: int | None


class Rival(Protocol):
    """A loaded model; `prepare` may first convert the checkpoint into the folder that `__init__` gets as `prepared`."""

    version: str

    def __init__(self, model: Path, prepared: Path, threads: int, settings: Settings) -> None: ...

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None: ...

    def run(self, pairs: list[Pair], settings: Settings) -> Iterator[Batch]: ...


def main(rival: type[Rival]) -> None:
    """Convert a checkpoint (`prepare MODEL FOLDER`) or, without arguments, serve requests until `quit` or the end."""
    if len(sys.argv) == 4 and sys.argv[1] == "prepare":
        rival.prepare(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    answers = _private_output()
    loaded: Rival | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            break
        try:
            if request["do"] == "load":
                folders = Path(request["model"]), Path(request["prepared"])
                loaded = rival(*folders, request["threads"], request["settings"])
                answer: dict[str, Any] = {"version": loaded.version}
            elif loaded is None:
                answer = {"error": "asked to score before anything was loaded"}
            else:
                answer = _score(loaded, request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:
            break
    # Some runtimes keep threads that hold an ordinary exit back.
    os._exit(0)


def _score(rival: Rival, request: dict[str, Any]) -> dict[str, Any]:
    pairs = [(query, document) for query, document in request["pairs"]]
    places: list[int] = []
    logits: list[float] = []
    computed: int | None = 0
    _forget_peak()
    start = time.perf_counter()
    for batch in rival.run(pairs, request["settings"]):
        places.extend(batch.places)
        logits.extend(float(logit) for logit in batch.logits)
        computed = None if computed is None or batch.computed_tokens is None else computed + batch.computed_tokens
        seconds = time.perf_counter() - start
        if seconds > request["time_limit"]:
            break
    return {
        "places": places,
        "logits": logits,
        "computed_tokens": computed,
        "seconds": seconds,
        "peak_bytes": _peak_bytes(),
    }


def _private_output() -> TextIO:
    """Where answers go; whatever a library prints from now on goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _forget_peak() -> None:
    """Reset the measured peak (Linux)."""
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int | None:
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return None


def sorted_batches(lengths: Sequence[int], size: int, most_padded: int | None = None) -> list[list[int]]:
    """Rows of like length together, at most `size` (and `most_padded` tokens) a batch, in a fixed mixed order.

    The batches are those of a sort by length; mixing their order makes the part that a time limit leaves a fair sample.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    batches: list[list[int]] = []
    while order:
        count = min(size, len(order))
        if most_padded is not None:
            count = max(1, min(count, most_padded // max(1, lengths[order[0]])))
        batches.append(order[:count])
        order = order[count:]
    random.Random(0).shuffle(batches)
    return batches
