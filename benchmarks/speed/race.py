"""The interleaved run: in every round each participant scores the workload once, in turns."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.environments import Environments
from benchmarks.speed.participants import ALL, Participant
from benchmarks.speed.worker import ROOT, Worker, WorkerError
from benchmarks.speed.workloads import Workload

WARM_UP = [("what is warm-up", "A first call that is not counted."), ("what is warm-up", "Another short one.")]
LOAD_LIMIT = 900.0
# Nothing is fetched and nothing is reported to anybody.
SILENT = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}
REFERENCES = ("ours-float32", "card")
KINDS = ("float32", "bfloat16", "int8")  # of torch's matrix products


@dataclass
class Result:
    """What a participant did on a workload, one entry a round; `problem` says why there is nothing more."""

    participant: Participant
    version: str = ""
    seconds: list[float] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    computed: list[int | None] = field(default_factory=list)
    peak_bytes: list[int | None] = field(default_factory=list)
    loading: list[float] = field(default_factory=list)  # these two only where each round starts anew
    first: list[float] = field(default_factory=list)
    logits: NDArray[np.float32] | None = None  # NaN where a time limit left a pair unscored
    problem: str | None = None


@dataclass
class Outcome:
    """Results of one workload, the reference logits, and torch's rates in the same rounds."""

    workload: Workload
    results: list[Result]
    reference: NDArray[np.float32] | None
    referee: str
    rates: dict[str, float]


class Race:
    """Workers that stay loaded from one workload to the next; `close` ends them all."""

    def __init__(self, work: Path, model: Path, threads: int, time_limit: float, patience: float) -> None:
        self.work, self.model, self.threads = work, model, threads
        self.time_limit, self.patience = time_limit, patience
        self.environments = Environments(work)
        self.workers: dict[str, Worker] = {}

    def run(self, workload: Workload, participants: Sequence[Participant], rounds: int) -> Outcome:
        """Each round begins with another participant, so that none always follows the same one."""
        say(f"{workload.name}: {workload.title}")
        results = [Result(participant) for participant in participants]
        rates: list[dict[str, float]] = []
        for turn in range(rounds):
            rates.append(self._rates())
            shift = turn % len(results)
            for result in results[shift:] + results[:shift]:
                if result.problem is None:
                    self._score(result, workload, self.time_limit)
                    say(f"  round {turn + 1}, {result.participant.name}: {_told(result)}")
        reference, referee = self._reference(workload, results)
        medians = {kind: float(np.median([rate.get(kind, math.nan) for rate in rates])) for kind in KINDS}
        return Outcome(workload, results, reference, referee, medians)

    def close(self) -> None:
        """End every worker, at once."""
        for worker in self.workers.values():
            worker.end()

    def _score(self, result: Result, workload: Workload, time_limit: float) -> None:
        participant = result.participant
        request = {"do": "score", "pairs": workload.pairs, "settings": participant.run, "time_limit": time_limit}
        if workload.fresh:
            request["time_limit"] = math.inf
        try:
            if workload.fresh and participant.worker in self.workers:
                self.workers[participant.worker].end()
            worker = self._worker(participant)
            result.version = worker.version
            if workload.fresh:
                result.loading.append(worker.loading)
                result.first.append(worker.ask(self.patience, **request)["seconds"])
            elif participant.name not in worker.warm:
                worker.ask(self.patience, **{**request, "pairs": WARM_UP})
            worker.warm.add(participant.name)
            answer = worker.ask(self.patience, **request)
        except WorkerError as error:
            result.problem = str(error)
            # What failed would hold its memory for nothing.
            if participant.worker in self.workers:
                self.workers[participant.worker].end()
            return
        logits = np.full(len(workload.pairs), np.nan, np.float32)
        logits[answer["places"]] = answer["logits"]
        result.logits = logits if result.logits is None else np.where(np.isnan(logits), result.logits, logits)
        result.seconds.append(answer["seconds"])
        result.documents.append(len(answer["places"]))
        result.tokens.append(sum(workload.tokens[place] for place in answer["places"]))
        result.computed.append(answer["computed_tokens"])
        result.peak_bytes.append(answer["peak_bytes"])

    def _reference(self, workload: Workload, results: list[Result]) -> tuple[NDArray[np.float32] | None, str]:
        """float32 logits of every pair: ours where it ran or can run, else those of the card's code."""
        for name in REFERENCES:
            ran = next((result for result in results if result.participant.name == name), None)
            if ran is None or (ran.problem is None and ran.logits is not None and np.isnan(ran.logits).any()):
                ran = Result(ALL[name])
                self._score(ran, workload, math.inf)
            if ran.logits is not None and not np.isnan(ran.logits).any():
                return ran.logits, name
        return None, ""

    def _worker(self, participant: Participant) -> Worker:
        """Its process, started and loaded when first needed or when the last one was stopped."""
        key = participant.worker
        if key in self.workers and self.workers[key].alive:
            return self.workers[key]
        if problem := self.environments.problem(participant.environment):
            raise WorkerError(problem)
        python = self.environments.python(participant.environment)
        prepared = self._prepared(participant, python)
        say(f"  loading {participant.name}")
        variables = {"OMP_NUM_THREADS": str(self.threads), **SILENT}
        if participant.preload:
            variables["LD_PRELOAD"] = str((python.parents[1] / participant.preload).resolve())
        log = self.work / "logs" / f"{participant.name}.log"
        command = [str(python), "-m", f"benchmarks.rivals.{participant.module}"]
        worker = self.workers[key] = Worker(command, variables, log)
        folders = {"model": str(self.model), "prepared": str(prepared)}
        try:
            worker.load(LOAD_LIMIT, **folders, threads=self.threads, settings=participant.load)
        except WorkerError:
            worker.end()
            raise
        return worker

    def _prepared(self, participant: Participant, python: Path) -> Path:
        """The folder of the converted checkpoint; a conversion that fails leaves none."""
        folder = self.work / "prepared" / self.model.name / participant.module
        if folder.exists() or participant.environment is None:
            return folder
        say(f"  converting the checkpoint for {participant.name}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f"{folder.name}-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        log = self.work / "logs" / f"{participant.module}-conversion.log"
        command = [str(python), "-m", f"benchmarks.rivals.{participant.module}"]
        command += ["prepare", str(self.model), str(unfinished)]
        worker = Worker(command, {"OMP_NUM_THREADS": str(self.threads), **SILENT}, log)
        try:
            if worker.process.wait(LOAD_LIMIT) != 0:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                raise WorkerError(f"its conversion failed: {lines[-1][:200] if lines else 'no message'}")
        except subprocess.TimeoutExpired:
            raise WorkerError(f"its conversion took more than {LOAD_LIMIT:.0f} s") from None
        finally:
            worker.end()
        if unfinished.exists():
            unfinished.rename(folder)
        else:
            folder.mkdir()
        return folder

    def _rates(self) -> dict[str, float]:
        """Of the card's environment, or of this one where it has torch; empty where neither can say."""
        for environment in ("model_card", None):
            if self.environments.problem(environment) is None:
                command = [str(self.environments.python(environment)), "-m", "benchmarks.speed.matrix_rates"]
                with suppress(subprocess.SubprocessError, ValueError):
                    done = subprocess.run(
                        [*command, str(self.threads)], capture_output=True, check=True, timeout=120, cwd=ROOT
                    )
                    rates: dict[str, float] = json.loads(done.stdout)
                    return rates
        return {}


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _told(result: Result) -> str:
    if result.problem:
        return result.problem
    return f"{result.documents[-1]} documents in {result.seconds[-1]:.1f} s"
