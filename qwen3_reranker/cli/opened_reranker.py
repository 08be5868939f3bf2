"""What the options of a verb name -> an opened reranker: a model on this machine, or a server at a URL."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.terminal import note
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import CalibrationError, InputError

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Calibration
    from qwen3_reranker.cli.shared_options import CalibratedOptions, ModelOptions
    from qwen3_reranker.endpoints.server_options import ServerOptions
    from qwen3_reranker.remote.remote_reranker import RemoteReranker
    from qwen3_reranker.reranker import Reranker


def is_server(name: str) -> bool:
    """Whether a model's name is the address of a server."""
    from qwen3_reranker.weights.hub_name import is_server

    # Most names need no import to know.
    return ":" in name and is_server(name)


def download(model: ModelOptions, then: str | None = None) -> None:
    """Bring a model of the Hub onto this machine, which shows a bar of its own. then: one more, at no revision."""
    for name, revision in ((model.model, model.revision), (then, None)):
        if name is not None and not is_server(name):
            from qwen3_reranker.weights import resolve

            resolve(name, revision)


def open_reranker(
    model: ModelOptions, engine: EngineOptions, server: ServerOptions, *, plan_only: bool = False
) -> Reranker | RemoteReranker:
    """The model, or the server at its URL. Raises InputError for options of the other, and what each raises."""
    if is_server(model.model):
        from qwen3_reranker.remote.remote_reranker import RemoteReranker

        return RemoteReranker(model.model, revision=model.revision, **unusual(engine), **asdict(server))
    from qwen3_reranker.reranker import Reranker

    return Reranker(model.model, revision=model.revision, plan_only=plan_only, **asdict(engine))


def refuse_server_options(model: ModelOptions, server: ServerOptions, then: str | None = None) -> None:
    """Raise InputError for options of a server where the model, and one more, are on this machine."""
    if not (is_server(model.model) or is_server(then or "")) and (given := unusual(server)):
        raise InputError(f"{flags(given)} is for a server: give its URL as the model")


def refuse_local_options(model: ModelOptions, engine: EngineOptions) -> None:
    """Raise InputError for options of a model on this machine where the model is a server, as opening it would."""
    if is_server(model.model):
        from qwen3_reranker.endpoints.server_options import ServerOptions

        revision = {} if model.revision is None else {"revision": model.revision}
        ServerOptions.of({**revision, **unusual(engine)}, model.model)


def row_limit(reranker: Reranker | RemoteReranker) -> int | None:
    """The tokens that a pair may have; None where a server cuts, and does not say where."""
    tokens = getattr(reranker, "tokens", None)
    return None if tokens is None else int(tokens.max_length)


def refuse_calibration_options(options: CalibratedOptions) -> None:
    """Raise InputError for an option that has no meaning, and for a file that is not there."""
    named = options.calibrated
    if named is None and options.allow_other_calibration:
        raise InputError("--allow-other-calibration has a meaning with --calibrated alone")
    if named and not os.path.exists(named):
        raise CalibrationError(
            f"{named}: no such file; for the calibration beside the model --calibrated stands last, or before another "
            "flag"
        )


@dataclass(frozen=True, slots=True)
class ChosenCalibration:
    """A calibration, and its file. accepts_all: use it for another model, prompt or instruction too."""

    calibration: Calibration
    file: str
    accepts_all: bool

    def refuse_other(self, reranker: Reranker | RemoteReranker, instruction: str | None) -> None:
        """Raise CalibrationError for what it was not fitted with, unless that is allowed."""
        if not self.accepts_all:
            self.calibration.refuse_other(reranker, instruction)


def chosen_calibration(options: CalibratedOptions, model: ModelOptions) -> ChosenCalibration | None:
    """The calibration that was named, or the one beside the model; None for the model's own probabilities.

    The second fetches a model of the Hub. Raises InputError where there is none, and CalibrationError for another file.
    """
    refuse_calibration_options(options)
    if options.calibrated is None:
        return None
    from qwen3_reranker.calibrate import Calibration, stored_file

    file = options.calibrated
    if not file:
        if is_server(model.model):
            raise InputError("no calibration stands beside a server's model: name its file, --calibrated FILE")
        from qwen3_reranker.weights import resolve

        file = str(stored_file(resolve(model.model, model.revision)))
    return ChosenCalibration(Calibration.read(file), file, options.allow_other_calibration)


@contextmanager
def warnings_noted() -> Iterator[None]:
    """Say the warnings of the library on stderr, a line each, and each once."""
    said: set[str] = set()

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (message := record.getMessage()) not in said:
                said.add(message)
                note(message)

    logger, handler = logging.getLogger("qwen3_reranker"), Notes(logging.WARNING)
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def flags(given: Iterable[str]) -> str:
    """The flags of options, as an error names them: --api-key, --retries."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in given)


def unusual(options: Any) -> Mapping[str, Any]:
    """The options that differ from their defaults."""
    return {each.name: value for each in fields(options) if (value := getattr(options, each.name)) != each.default}
