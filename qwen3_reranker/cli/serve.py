"""`serve`: a model -> an HTTP server that the clients of other rerankers use unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar

from typer import Option

from qwen3_reranker import __version__
from qwen3_reranker.cli.declared_options import Given, declared, without
from qwen3_reranker.cli.opened_reranker import refuse_calibration_options
from qwen3_reranker.cli.shared_options import CalibratedOptions, ModelOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.option_fields import option
from qwen3_reranker.serve.settings import STORED_CALIBRATION, ServerSettings

_NEEDED = ("starlette", "uvicorn", "pydantic", "sqlalchemy", "prometheus_client", "jinja2")


@dataclass(frozen=True, kw_only=True)
class ModelsToServe:
    """Which models to serve."""

    group: ClassVar[str] = "Model"
    model: list[str] | None = option(
        None,
        "nano, a folder, a GGUF file, or a Hub id; NAME=ID serves it as ID. Repeat it to serve several.",
        unit="NAME",
        flag="--model, -m",
        shown="nano",
    )
    embedder: list[str] | None = option(
        None, "A Qwen3-Embedding model for /v1/embeddings, named in the same way.", unit="NAME"
    )
    then: str | None = option(
        None,
        "A second, larger reranker, named in the same way: where a request says how many results it wants, it scores "
        "the best documents of --model alone.",
        unit="NAME",
    )
    band: int | None = option(
        None, "With --then: how many documents it scores.", unit="N", shown="three times the results wanted", least=1
    )


@declared
def serve(
    *,
    served: ModelsToServe,
    source: Annotated[ModelOptions, without("model")],
    server: Annotated[dict[str, Any], Given(ServerSettings)],
    config: Annotated[
        str | None,
        Option(
            metavar="FILE",
            help="A TOML file of settings; flags and the environment override it.",
            rich_help_panel="Server",
        ),
    ] = None,
    calibration: CalibratedOptions,
    engine: Annotated[EngineOptions, without("prompt", "special_tokens", "truncate_queries", "disk_cache")],
) -> None:
    """Serve models over HTTP, for clients of Cohere, Jina, Voyage, TEI, vLLM and others.

    Point a client at http://127.0.0.1:8000 and it works: the page at / shows how. Without --keys only this machine is
    served. Ctrl-C or SIGTERM ends the server after the running requests.

    Every setting is also a key of the file that --config names, such as max_documents, and a variable, such as
    QWEN3_RERANKER_MAX_DOCUMENTS. docs/serve.md lists them all.

    Examples:
      qwen3-reranker serve
      qwen3-reranker serve --model Qwen/Qwen3-Reranker-0.6B --precision int8
      qwen3-reranker serve --host 0.0.0.0 --keys keys.db
      qwen3-reranker serve --model my-model/ --calibrated
      qwen3-reranker serve --model nano --then Qwen/Qwen3-Reranker-0.6B --band 50
      qwen3-reranker serve --config /etc/qwen3-reranker.toml
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise UnavailableError(
            f'serve needs {", ".join(missing)}, which this installation lacks: pip install "qwen3_reranker[serve]"'
        )
    usual = asdict(EngineOptions())
    options = {name: value for name, value in asdict(engine).items() if value != usual[name]}
    fields = dict(server)
    calibrated = _calibrated(calibration, served.model or ["nano"])
    if served.then is None and served.band is not None:
        raise InputError("--band says how many documents --then scores: it needs --then")
    if served.then is not None and len(served.model or ["nano"]) > 1:
        raise InputError("--then is for one --model: of several, write `then` into the table of each in FILE")
    if (
        served.model
        or served.embedder
        or served.then
        or (config is None and (options or calibrated or source.revision))
    ):
        seconds = [] if served.then is None else [served.then]
        named = [(each, "reranker") for each in (*(served.model or ["nano"]), *seconds)]
        named += [(each, "embedder") for each in served.embedder or []]
        fields["models"] = models = [_model(name, kind, source.revision, options) for name, kind in named]
        # A calibration is of the model whose scores clients get.
        models[len(seconds)] |= calibrated
        if seconds:
            models[0] |= {"then": models[1]["id"] or models[1]["source"], "band": served.band}
    elif options or calibrated or source.revision:
        raise InputError("options of a model need a model: name it with --model, or write them in FILE")

    # Imported when everything that can be wrong without a model is right, and never for --help.
    from qwen3_reranker.serve.application import open_application
    from qwen3_reranker.serve.listening import listen_as_set
    from qwen3_reranker.serve.log import logging_to_stderr
    from qwen3_reranker.serve.reload import Reloader
    from qwen3_reranker.serve.server import Server
    from qwen3_reranker.serve.settings_sources import read_settings

    settings = read_settings(fields, config)
    reloader = Reloader(lambda: read_settings(fields, config))
    with (
        logging_to_stderr(settings.log_format, settings.log_level),
        reloader.on_signal(),
        listen_as_set(settings) as listening,
    ):
        application = open_application(settings, __version__, lambda name: note(f"loading {name} ..."))

        def on_ready() -> None:
            reloader.begin(application)
            note(f"serving {listening.address}; Ctrl-C ends it")

        Server(application, settings, on_ready).run(listening)


def _calibrated(calibration: CalibratedOptions, rerankers: Sequence[str]) -> dict[str, Any]:
    """The fields of the one reranker that say which calibration it has; none if it has none."""
    refuse_calibration_options(calibration)
    if calibration.calibrated is None:
        return {}
    if len(rerankers) > 1:
        raise InputError(
            "--calibrated is for one reranker: of several, write `calibration` into the table of each in the file of "
            "--config"
        )
    allowed = {"allow_other_calibration": True} if calibration.allow_other_calibration else {}
    return {"calibration": calibration.calibrated or STORED_CALIBRATION, **allowed}


def _model(name: str, kind: str, revision: str | None, options: dict[str, Any]) -> dict[str, Any]:
    source, _, id = name.partition("=")
    # NAME=ID only after a plain name: an = may also stand in the query of a URL.
    if re.search(r"[?&#]|://", source):
        source, id = name, ""
    return {"source": source, "id": id or None, "kind": kind, "revision": revision, "options": options}
