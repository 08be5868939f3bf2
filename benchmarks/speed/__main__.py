"""Ours and pinned rivals in one interleaved run, as Markdown tables; --prepare installs the rivals first.

Who cannot run on this processor is named below each table.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks.core import LAYERS_0_6B
from benchmarks.speed.checkpoint import checkpoint, linear_operations
from benchmarks.speed.environments import Environments
from benchmarks.speed.participants import ALL
from benchmarks.speed.race import Outcome, Race
from benchmarks.speed.table import legend, table
from benchmarks.speed.workloads import SIZES, workload


def main() -> None:
    """Read the options, prepare or race."""
    options = _options()
    # What ends this process ends it through `finally`, so that no worker outlives it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    chosen = [ALL[name] for name in options.rivals]
    if options.prepare:
        for name in dict.fromkeys(participant.environment for participant in chosen if participant.environment):
            Environments(options.work).prepare(name)
        return
    model = checkpoint(options.work, options.layers, options.spread)
    race = Race(options.work, model, options.threads, options.time_limit, options.patience)
    outcomes: list[Outcome] = []
    report = _Report(options.output)
    report.add(_title(options))
    try:
        for name in options.only:
            outcomes.append(race.run(workload(name, model, options.scale), chosen, options.rounds))
            report.add(table(outcomes[-1], linear_operations(model)))
    except KeyboardInterrupt:
        sys.exit("interrupted; workers ended")
    finally:
        race.close()
    report.add(legend(outcomes))


class _Report:
    """Parts of the report, printed as they come and, where asked for, written to a file."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.parts = file, list[str]()

    def add(self, part: str) -> None:
        self.parts.append(part)
        print(part, flush=True)
        if self.file:
            self.file.write_text("\n".join(self.parts), encoding="utf-8")


def _title(options: argparse.Namespace) -> str:
    settings = [
        f"Random weights in Qwen3-Reranker-0.6B's shape, {options.layers} of {LAYERS_0_6B} layers, standard deviation "
        f"{options.spread:g}",
        f"{options.threads} threads of {_processor()}",
        f"{options.rounds} round(s), {options.time_limit:g} s a participant and round",
    ]
    return f"# Speed beside rivals\n\n{'; '.join(settings)}.\n"


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").split("model name\t: ")[1].split("\n")[0]
    except (OSError, IndexError):
        return platform.processor() or "an unknown processor"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "--prepare", action="store_true", help="install the rivals, each in its own environment, and stop"
    )
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="folder of checkpoints and environments")
    parser.add_argument("--rivals", nargs="+", choices=ALL, default=list(ALL), metavar="NAME", help=", ".join(ALL))
    workloads = f"{', '.join(SIZES)}; request loads everybody anew in each round and times the first two calls"
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME", help=workloads)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=LAYERS_0_6B, help="layers of the random network")
    parser.add_argument("--spread", type=float, default=0.02, help="standard deviation of the random weights")
    parser.add_argument("--scale", type=float, default=1.0, help="share of each workload's documents, for a rehearsal")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds after which no further batch is begun")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds after which a participant is stopped")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    options = parser.parse_args()
    options.work = options.work.resolve()
    if options.rounds < 1 or options.threads < 1 or options.layers < 1 or not 0 < options.scale <= 1:
        parser.error("--rounds, --threads and --layers are at least 1; --scale lies above 0 and is at most 1")
    return options


if __name__ == "__main__":
    main()
