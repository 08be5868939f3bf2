"""Options that find the N best for less work, by a fast precision or by two models, and what they did in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os.path import exists, samefile
from typing import TYPE_CHECKING

from qwen3_reranker.cli.opened_reranker import is_server, open_reranker
from qwen3_reranker.cli.shared_options import ModelOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.records import CONFIDENCE, Cascade, Screen, Screening
from qwen3_reranker.registry import SPECS

if TYPE_CHECKING:
    from qwen3_reranker.remote.remote_reranker import RemoteReranker
    from qwen3_reranker.reranker import Reranker


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """How to find the N best for less work."""

    top_k: int | None
    screen: str | None = option(
        None,
        "Score all documents in this faster precision, and in the model's own those that may be among the N best. "
        "Needs -k.",
        choices=tuple(dict.fromkeys(each for spec in SPECS.values() for each in spec.screens)),
        shown="every document in the model's own",
    )
    confidence: float = option(
        CONFIDENCE, "With --screen: how surely the N best are the same as without it.", unit="P", above=0, most=1
    )
    then: str | None = option(
        None,
        "A second, larger model (or the URL of a server): it scores the best documents of --model, and the N best are "
        "those of its scores. Options such as --precision hold for both. Needs -k.",
        unit="NAME|URL",
    )
    band: int | None = option(
        None, "With --then: how many documents it scores.", unit="N", shown="three times -k", least=1
    )

    def refuse_stages(self, engine: EngineOptions, in_place: str, model: str) -> None:
        """Raise InputError where there is nothing to find for less work. in_place: the flag that prints another thing.

        model: the first one's name.
        """
        if self.screen is None and self.confidence != CONFIDENCE:
            raise InputError("--confidence says how surely --screen finds the best: it needs --screen")
        if self.then is None and self.band is not None:
            raise InputError("--band says how many documents --then scores: it needs --then")
        if self.screen is None and self.then is None:
            return
        flag = "--then" if self.screen is None else "--screen"
        if self.screen is not None and self.then is not None:
            raise InputError("leave out --screen or --then: one of them finds the best for less work")
        if self.top_k is None:
            raise InputError(f"{flag} finds the N best documents: say how many with -k N")
        if in_place:
            raise InputError(f"{in_place} tells what ranking without {flag} takes: leave one of them out")
        if self.then is not None:
            if _is_same(self.then, model):
                raise InputError(f"--then must be another model than --model, got {self.then} for both")
            if self.band is not None and self.band < self.top_k:
                raise InputError(f"--band must be at least -k, as --then finds the best {self.top_k}, got {self.band}")
            return
        if is_server(model):
            raise InputError(f"--screen needs the model on this machine; {model} takes texts and gives scores")
        assert self.screen is not None
        engine.refuse_screen(self.screen)
        Screen.of(self.screen, self.confidence, self.top_k)

    def judge_of(self, model: ModelOptions) -> ModelOptions:
        """The model whose scores are shown: the second, where there is one."""
        return model if self.then is None else replace(model, model=self.then, revision=None)

    @contextmanager
    def opened_then(
        self, model: ModelOptions, engine: EngineOptions, server: ServerOptions
    ) -> Iterator[Reranker | RemoteReranker | None]:
        """The second model, with the options of the first where it runs in the same place; None where there is none."""
        if self.then is None:
            yield None
            return
        own = engine_of(self.then, model.model, engine)
        with open_reranker(self.judge_of(model), own, server) as second:
            yield second


def engine_of(name: str, other: str | None, engine: EngineOptions) -> EngineOptions:
    """The options of a model beside another: a server has none where they are for a model on this machine."""
    return EngineOptions() if is_server(name) and other is not None and not is_server(other) else engine


def _is_same(name: str, other: str) -> bool:
    """Whether both are one model: by their names, or as they lead to one file or folder."""
    return name == other or (exists(name) and exists(other) and samefile(name, other))


def note_stages(
    found: Sequence[Screening | Cascade], count: int, names: tuple[str, str | None], precision: str
) -> None:
    """Note what was done to find the best of so many documents; in a table it is below each ranking.

    names: of the first model and the second. precision: the first one's own.
    """
    screenings = [each for each in found if isinstance(each, Screening)]
    cascades = [each for each in found if isinstance(each, Cascade)]
    if screenings:
        rechecked = sum(each.rechecked for each in screenings)
        note(
            f"screened in {screenings[0].precision}: {rechecked:,} of {count:,} documents rechecked in {precision}, "
            f"with a confidence of {screenings[0].confidence:g}"
        )
    if cascades:
        first, then = sum(each.first_judged for each in cascades), sum(each.then_judged for each in cascades)
        note(f"{names[0]} scored {first:,} of {count:,} documents, and {names[1]} {then:,}")
