"""`serve`: a model -> an HTTP server that the clients of other rerankers use unchanged."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any

from qwen3_reranker import __version__
from qwen3_reranker.cli import flags
from qwen3_reranker.cli.flags import flag
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.config import EngineOptions
from qwen3_reranker.errors import InputError, UnavailableError

_NEEDED = ("starlette", "uvicorn", "pydantic_settings", "sqlalchemy", "prometheus_client", "jinja2")


Models = Annotated[
    list[str] | None,
    flag(
        "Model",
        "--model",
        "-m",
        value="NAME",
        meaning="nano, a folder, a GGUF file, or a Hub id; NAME=ID serves it as ID. Again for several. [nano]",
    ),
]
Embedders = Annotated[
    list[str] | None,
    flag("Model", "--embedder", value="NAME", meaning="A Qwen3-Embedding model for /v1/embeddings, named alike."),
]
Host = Annotated[str | None, flag("Server", "--host", value="ADDRESS", meaning="Where to listen. [127.0.0.1]")]
Port = Annotated[int | None, flag("Server", "--port", "-p", value="N", meaning="The port; 0 for a free one. [8000]")]
Config = Annotated[
    str | None,
    flag("Server", "--config", value="FILE", meaning="A TOML file of settings; flags and environment go before it."),
]
Keys = Annotated[
    str | None,
    flag("Server", "--keys", value="PLACE", meaning="A file or database URL of keys; every request then needs one."),
]
AllowPublic = Annotated[
    bool | None, flag("Server", "--allow-public", meaning="Serve without keys where others can reach the port.")
]
Timeout = Annotated[
    float | None, flag("Server", "--timeout", value="SECONDS", meaning="The most that a request may take. [60]")
]
LogFormat = Annotated[str | None, flag("Server", "--log-format", value="text|json", meaning="Lines of the log. [text]")]
MaxWaitingTokens = Annotated[
    int | None,
    flag("Server", "--max-waiting-tokens", value="N", meaning="Tokens that may wait for a model. [2,000,000]"),
]


def serve(
    *,
    model: Models = None,
    embedder: Embedders = None,
    revision: flags.Revision = None,
    host: Host = None,
    port: Port = None,
    config: Config = None,
    keys: Keys = None,
    allow_public: AllowPublic = None,
    timeout: Timeout = None,
    max_waiting_tokens: MaxWaitingTokens = None,
    log_format: LogFormat = None,
    max_length: flags.MaxLength = flags.ENGINE.max_length,
    max_batch_tokens: flags.MaxBatchTokens = flags.ENGINE.max_batch_tokens,
    num_threads: flags.NumThreads = flags.ENGINE.num_threads,
    backend: flags.Backend = flags.ENGINE.backend,
    device: flags.Device = flags.ENGINE.device,
    precision: flags.Precision = flags.ENGINE.precision,
    kernels: flags.Kernels = flags.ENGINE.kernels,
) -> None:
    """Serve models over HTTP, as the clients of Cohere, Jina, Voyage, TEI, vLLM and others expect it.

    Point a client at http://127.0.0.1:8000 and it works: the page at / shows how. Without --keys only this machine is
    served. Ctrl-C or SIGTERM ends the server once the requests inside have ended.

    Every setting is also a key of the file that --config names, and a variable such as QWEN3_RERANKER_PORT;
    docs/serve.md lists them all.

    Examples:
      qwen3-reranker serve
      qwen3-reranker serve --model Qwen/Qwen3-Reranker-0.6B --precision int8
      qwen3-reranker serve --host 0.0.0.0 --keys keys.db
      qwen3-reranker serve --config /etc/qwen3-reranker.toml
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise UnavailableError(
            f'serve needs {", ".join(missing)}, which this installation lacks: pip install "qwen3_reranker[serve]"'
        )
    options: dict[str, Any] = {
        "max_length": max_length,
        "max_batch_tokens": max_batch_tokens,
        "num_threads": num_threads,
        "backend": backend,
        "device": device,
        "precision": precision,
        "kernels": kernels,
    }
    # A bad option is told before anything is loaded.
    EngineOptions(**options)
    given = {name: value for name, value in options.items() if value != getattr(flags.ENGINE, name)}
    fields: dict[str, Any] = {
        "host": host,
        "port": port,
        "keys": keys,
        "allow_public": allow_public,
        "timeout": timeout,
        "max_waiting_tokens": max_waiting_tokens,
        "log_format": log_format,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    if model or embedder or (config is None and (given or revision)):
        named = [(each, "reranker") for each in model or ["nano"]] + [(each, "embedder") for each in embedder or []]
        fields["models"] = [_model(name, kind, revision, given) for name, kind in named]
    elif given or revision:
        raise InputError("options of a model need a model: name it with --model, or write them in FILE")

    # Imported when everything that can be wrong without a model is right, and never for --help.
    from qwen3_reranker.serve.log import logging_to_stderr
    from qwen3_reranker.serve.opening import open_application
    from qwen3_reranker.serve.server import Server, listen
    from qwen3_reranker.serve.settings import read_settings

    settings = read_settings(fields, config)
    with logging_to_stderr(settings.log_format), listen(settings.host, settings.port) as listening:
        application = open_application(settings, __version__, lambda name: note(f"loading {name} ..."))
        address, taken = listening.getsockname()[:2]
        url = f"http://{f'[{address}]' if ':' in address else address}:{taken}"
        Server(application, settings, lambda: note(f"serving {url}; Ctrl-C ends it")).run(listening)


def _model(name: str, kind: str, revision: str | None, options: dict[str, Any]) -> dict[str, Any]:
    source, _, id = name.partition("=")
    return {"source": source, "id": id or None, "kind": kind, "revision": revision, "options": options}
