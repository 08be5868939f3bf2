"""Models: the served models of one server, by all their names, each with its scheduler."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.records import Row
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.score import probabilities
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.scheduler import ScheduledRequest, Scheduler
from qwen3_reranker.serve.settings import ModelSettings, ServerSettings
from qwen3_reranker.weights.hub_name import is_server

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Calibration

_PROBE = [f"Passage {number} says what the weather in the mountains will be like tomorrow." for number in range(16)]
_PROBE_SECONDS = 600.0
# On a CPU a batch of a library call may take many seconds. A request should not wait that long for another one, and
# batches of this size compute no slower.
_CPU_BATCH_TOKENS = 1024

#: A warning in replies.
UNCALIBRATED = "probabilities are the model's own: its calibration belongs to another instruction"

Opened = TypeVar("Opened", bound=Reranker | Embedder)
Served = TypeVar("Served", bound="ScheduledModel[Any]")


class ScheduledModel(ABC, Generic[Opened]):
    """A model that many clients share, and the scheduler that runs it."""

    def __init__(self, model: Opened, settings: ModelSettings, scheduler: Scheduler) -> None:
        self.model = model
        self.settings = settings
        #: The name under which it is served.
        self.id = settings.name
        self.scheduler = scheduler
        self.created = int(time.time())

    @abstractmethod
    def probe_rows(self) -> list[Row]:
        """Rows of a few test texts."""

    def is_ready(self) -> bool:
        """Whether it would answer a request now."""
        stats = self.scheduler.stats()
        return stats.is_running and not stats.is_broken

    def probe(self, on_end: Callable[[], None] = lambda: None) -> ScheduledRequest:
        """Queue a few test texts and return at once. Raises Overloaded."""
        scheduled = ScheduledRequest(self.probe_rows(), deadline=time.monotonic() + _PROBE_SECONDS, on_end=on_end)
        self.scheduler.submit(scheduled)
        return scheduled

    def warm_up(self) -> None:
        """Run the test texts, so that the first request is no slower.

        It also gives the scheduler a first estimate of waiting times.

        Raises what the model raises.
        """
        ended = threading.Event()
        scheduled = self.probe(ended.set)
        ended.wait()
        if scheduled.error:
            raise scheduled.error

    def close(self) -> None:
        """End the remaining requests and free the memory."""
        self.scheduler.close()
        self.model.close()


class ServedReranker(ScheduledModel[Reranker]):
    """A Reranker that many clients share.

    calibration: what gives its probabilities, None for its own. then: the model that scores the best of this one's.
    screen: the same in a faster precision.
    """

    calibration: Calibration | None = None
    then: ServedReranker | None = None
    screen: ServedReranker | None = None

    @property
    def judge(self) -> ServedReranker:
        """The model whose scores clients get."""
        return self.then or self

    @property
    def reranker(self) -> Reranker:
        """The model."""
        return self.model

    def close(self) -> None:
        """End the remaining requests and free the memory, of its screen too."""
        if self.screen is not None:
            self.screen.close()
        super().close()

    def calibration_of(self, instruction: str | None) -> Calibration | None:
        """The calibration, if it holds for a call with this instruction."""
        found = self.calibration
        holds = found and (self.settings.allow_other_calibration or found.holds_for(self.model, instruction))
        return found if holds else None

    def is_calibrated(self, instruction: str | None) -> bool | None:
        """Whether the calibration gives the probabilities of a call with this instruction; None without one."""
        return None if self.calibration is None else self.calibration_of(instruction) is not None

    def probabilities(self, logits_N: NDArray[np.float32], instruction: str | None) -> NDArray[np.float32]:
        """The probability of each logit of calls with this instruction, by the calibration if it holds."""
        calibration = self.calibration_of(instruction)
        return calibration.probabilities(logits_N) if calibration else probabilities(logits_N)

    def probe_rows(self) -> list[Row]:
        """A question and passages."""
        return self.model.rows(["Will it rain tomorrow?"] * len(_PROBE), _PROBE)


class ServedEmbedder(ScheduledModel[Embedder]):
    """An Embedder that many clients share."""

    @property
    def embedder(self) -> Embedder:
        """The model."""
        return self.model

    def probe_rows(self) -> list[Row]:
        """Passages."""
        return self.model.rows(_PROBE, role="document")


class Models:
    """The models served, by every name that clients may use."""

    def __init__(
        self,
        rerankers: Sequence[ServedReranker],
        embedders: Sequence[ServedEmbedder] = (),
        *,
        accept_any: bool = False,
    ) -> None:
        self.rerankers = list(rerankers)
        self.embedders = list(embedders)
        self._name(accept_any)

    def use(self, settings: ServerSettings, calibrations: Mapping[str, Calibration]) -> None:
        """Take over names, prices and limits of the same models, and calibrations by the id of their model."""
        self.calibrate(calibrations)
        for model in self.all:
            model.settings = next(each for each in settings.models if each.name == model.id)
            model.scheduler.max_waiting_tokens = settings.max_waiting_tokens
            if isinstance(model, ServedReranker) and model.screen is not None:
                model.screen.scheduler.max_waiting_tokens = settings.max_waiting_tokens
        self._name(settings.accept_any_model)

    def calibrate(self, calibrations: Mapping[str, Calibration]) -> None:
        """Take over calibrations by the id of their model; the others have their own probabilities."""
        for model in self.rerankers:
            model.calibration = calibrations.get(model.id)

    def _name(self, accept_any: bool) -> None:
        self._accept_any = accept_any
        self._rerankers = _by_name(self.rerankers)
        self._embedders = _by_name(self.embedders)

    def reranker(self, name: str | None) -> ServedReranker:
        """The reranker of that name, or the first. Raises Problem 404 with the names that exist."""
        return self._chosen(name, self.rerankers, self._rerankers, "rerank")

    def embedder(self, name: str | None) -> ServedEmbedder:
        """The embedder of that name, or the first. Raises Problem 404, or 400 if the server has none."""
        if not self.embedders:
            raise invalid(
                "no_embedder",
                "the models here rank and do not embed; use /v1/rerank, or serve an embedder too",
                "model",
            )
        return self._chosen(name, self.embedders, self._embedders, "embed")

    def any(self, name: str | None) -> ServedReranker | ServedEmbedder:
        """The model of that name, of either kind, or the first. Raises Problem 404."""
        by_name: dict[str, ServedReranker | ServedEmbedder] = {**self._embedders, **self._rerankers}
        return self._chosen(name, self.all, by_name, "tokenize")

    def _chosen(self, name: str | None, models: Sequence[Served], by_name: Mapping[str, Served], verb: str) -> Served:
        found = None if name is None else by_name.get(name.lower())
        if found is None and models and (name is None or self._accept_any):
            found = models[0]
        if found is None:
            there = ", ".join(each.id for each in models) or "none"
            more = "the setting `aliases` adds names, and `--accept-any-model` allows every name"
            message = f"no model of that name; models that {verb} here: {there}; {more}"
            raise Problem(404, "not_found_error", "model_not_found", message, parameter="model")
        return found

    @property
    def all(self) -> list[ServedReranker | ServedEmbedder]:
        """The rerankers, then the embedders."""
        return [*self.rerankers, *self.embedders]

    @property
    def prices(self) -> dict[str, Decimal | None]:
        """US dollars for a million prompt tokens, by id."""
        return {each.settings.name: each.settings.price for each in self.all}

    def close(self) -> None:
        """Free the memory of all models."""
        for model in self.all:
            model.close()


def open_models(
    settings: ServerSettings, metrics: Metrics, on_open: Callable[[str], None] = lambda _name: None
) -> Models:
    """Load and warm up every model of the settings; on_open is called with each name.

    Raises what Reranker and Embedder raise, and then frees the models that are already open.
    """
    rerankers: list[ServedReranker] = []
    embedders: list[ServedEmbedder] = []
    with ExitStack() as opened:
        for chosen in settings.models:
            on_open(chosen.name)
            served: ServedReranker | ServedEmbedder
            if chosen.kind == "embedder":
                embedder = Embedder(chosen.source, revision=chosen.revision, **_options(chosen))
                served = ServedEmbedder(embedder, chosen, _scheduler(embedder, chosen, settings, metrics))
                embedders.append(served)
            else:
                if is_server(chosen.source):
                    raise InputError(f"{chosen.source} is a server: what is served must be on this machine")
                reranker = Reranker(chosen.source, revision=chosen.revision, **_options(chosen))
                served = ServedReranker(reranker, chosen, _scheduler(reranker, chosen, settings, metrics))
                rerankers.append(served)
            opened.callback(served.close)
            if isinstance(served, ServedReranker) and chosen.screen is not None:
                served.screen = _screen(served.reranker, chosen, settings, metrics)
                served.screen.warm_up()
            served.warm_up()
        for each in rerankers:
            each.then = next((other for other in rerankers if other.id == each.settings.then), None)
        opened.pop_all()
    return Models(rerankers, embedders, accept_any=settings.accept_any_model)


def _screen(reranker: Reranker, chosen: ModelSettings, settings: ServerSettings, metrics: Metrics) -> ServedReranker:
    """The same model in the precision that screens."""
    reranker.options.refuse_screen(chosen.screen)
    options = {**_options(chosen), "precision": chosen.screen}
    fast = Reranker(chosen.source, revision=chosen.revision, **options)
    # Its batches have a name of their own in metrics; what clients see is the model's.
    named = replace(chosen, id=f"{chosen.name} in {chosen.screen}")
    return ServedReranker(fast, chosen, _scheduler(fast, named, settings, metrics))


def _options(chosen: ModelSettings) -> dict[str, Any]:
    options = dict(chosen.options)
    if options.get("backend", "cpu") == "cpu" and options.get("max_batch_tokens") is None:
        options["max_batch_tokens"] = _CPU_BATCH_TOKENS
    return options


def _scheduler(
    model: Reranker | Embedder, chosen: ModelSettings, settings: ServerSettings, metrics: Metrics
) -> Scheduler:
    scheduler = Scheduler(
        model,
        batch_tokens=model.options.batch_tokens,
        max_waiting_tokens=settings.max_waiting_tokens,
        name=chosen.name,
        on_batch=metrics.on_batch(chosen.name),
    )
    metrics.watch_queue(chosen.name, lambda: scheduler.stats().waiting_tokens)
    return scheduler


def _by_name(models: Iterable[Served]) -> dict[str, Served]:
    found: dict[str, Served] = {}
    short: dict[str, Served] = {}
    for each in models:
        for name in {each.settings.name, *each.settings.aliases}:
            found[name.lower()] = each
        for name in (each.settings.source, Path(each.settings.source).name):
            short.setdefault(name.lower(), each)
    return {**short, **found}
