"""ServerSettings: every setting of the server, declared once. settings_sources.py reads them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar

from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.option_fields import option, option_facts
from qwen3_reranker.records import CONFIDENCE, Screen

#: The calibration beside a model's files.
STORED_CALIBRATION = "stored"
_LARGEST_PRICE = 1_000_000
_HOST_NAME = re.compile(r"\*|[\w.-]+|[0-9A-Fa-f:.]+")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """One model to serve.

    source: nano, a folder, a .gguf file or a Hub id. id: the name that clients use, by default the source. aliases:
    further names. kind: "reranker" or "embedder". price: US dollars for a million prompt tokens. calibration: a
    file of `calibrate`, or "stored" for the one beside the model. allow_other_calibration: take that of another model,
    and for every instruction. then: the id of another reranker of the server, which scores the `band` best documents of
    this one; band: None for three times the results that a request wants. screen: a faster precision in which all
    documents are scored first, to find the best that a request wants so surely as confidence says. options: the fields
    of EngineOptions. Raises InputError for what cannot be used.
    """

    # For pydantic, which reads this class from a file: a misspelt field is an error.
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    source: str = "nano"
    id: str | None = None
    aliases: tuple[str, ...] = ()
    revision: str | None = None
    kind: str = "reranker"
    price: Decimal | None = None
    calibration: str | None = None
    allow_other_calibration: bool = False
    then: str | None = None
    band: int | None = None
    screen: str | None = None
    confidence: float = CONFIDENCE
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("reranker", "embedder"):
            raise unknown("kind", self.kind, ("reranker", "embedder"))
        if self.price is not None and not 0 <= self.price <= _LARGEST_PRICE:
            raise InputError(f"price must be from 0 to {_LARGEST_PRICE}, got {self.price}")
        if self.calibration is not None and self.kind != "reranker":
            raise InputError("calibration is for a reranker: an embedder gives no probabilities")
        if self.then is None and self.band is not None:
            raise InputError("band says how many documents the model `then` scores: name one")
        if self.then is not None and (self.kind != "reranker" or self.calibration is not None):
            raise InputError(
                "then is for a reranker without a calibration: probabilities are those of the second model"
            )
        if self.screen is not None and (self.kind != "reranker" or self.then is not None):
            raise InputError("screen is for a reranker without a second model")
        Screen.of("int8", self.confidence, 1)
        if self.screen is None and self.confidence != CONFIDENCE:
            raise InputError("confidence says how surely a screen finds the best: name its precision as screen")
        if self.band is not None and self.band < 1:
            raise InputError(f"band must be at least 1, got {self.band}")

    @property
    def name(self) -> str:
        """The id under which it is served."""
        return self.id or self.source


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of a server. Raises InputError for a value that cannot be used.

    To add a setting, write one `option` here, and in docs/serve.md the row that tests/test_declared_once.py prints. The
    key of the TOML file, the variable QWEN3_RERANKER_<NAME> and the flag (none without a group) follow from it. What
    `reloads` must be read from Context.settings for each request, or set anew by Context.use.
    """

    host: str = option("127.0.0.1", "Address to listen on.", unit="ADDRESS", group="Server")
    port: int = option(
        8000, "Port to listen on; 0 for a free one.", unit="N", flag="--port, -p", group="Server", least=0, most=65535
    )
    unix_socket: str | None = option(
        None,
        "Unix socket to listen on, for the server's user and group, instead of host and port.",
        unit="PATH",
        group="Server",
    )
    root_path: str = option(
        "",
        "Path below which a proxy shows the server, and which it removes, such as /rerank.",
        unit="PATH",
        group="Server",
        shown="none",
    )
    trusted_proxies: tuple[str, ...] = option(
        ("127.0.0.1", "::1"),
        "Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        unit="ADDRESS,...",
        group="Server",
        shown="127.0.0.1, ::1",
    )
    models: tuple[ModelSettings, ...] = option(
        (ModelSettings(),), "Models to serve; the first of a kind is the default.", shown="nano"
    )
    # Not `index`: the variable of that name is the command line's, and must not open one's files to a server's clients.
    search_index: str | None = option(
        None,
        "Folder or URL of an index of files, for `/v1/search` and the page `/search`; the first reranker judges.",
        unit="FOLDER|URL",
        flag="--index",
        group="Server",
    )
    keys: str | None = option(
        None,
        "SQLite file or database URL of keys and usage; without it no request needs a key.",
        unit="PATH|URL",
        group="Keys",
    )
    # Without a flag: other users of the machine can read the command line of a process.
    pepper: str | None = option(
        None, "Secret mixed into the hashes of keys, which makes a stolen database useless.", is_secret=True
    )
    allow_public: bool = option(False, "Serve without keys on an address that others can reach.", group="Keys")
    public_metrics: bool = option(
        False, "Answer `/metrics` without a key; otherwise it needs the scope `metrics`.", group="Keys", reloads=True
    )
    allowed_hosts: tuple[str, ...] = option(
        (),
        "Host names that are answered besides localhost and IP addresses, separated by commas, * for any; by default "
        "any, but none where no keys are asked for and only this machine is served.",
        unit="NAMES",
        group="Browsers",
        reloads=True,
    )
    cors_origins: tuple[str, ...] = option(
        (),
        "Sites whose pages may call the server, such as https://app.example, separated by commas; * for any.",
        unit="ORIGINS",
        group="Browsers",
        reloads=True,
    )
    accept_any_model: bool = option(
        False,
        "Serve any name with the first model, for clients that cannot set the model's name.",
        group="Server",
        reloads=True,
    )
    max_body_bytes: int = option(
        4 << 20, "Bytes of one body, unpacked.", unit="N", group="Limits", reloads=True, least=1024
    )
    max_bodies_bytes: int = option(
        64 << 20, "Bytes of all bodies in the server.", unit="N", group="Limits", reloads=True, least=1024
    )
    max_key_bytes: int = option(
        32 << 20, "Bytes of all bodies of one key in the server.", unit="N", group="Limits", reloads=True, least=1024
    )
    max_requests: int = option(
        256, "Requests in the server at once; more get 503.", unit="N", group="Limits", reloads=True, least=1
    )
    max_connections: int | None = option(
        None,
        "Connections at once; one more takes the place of a silent one, or gets 503.",
        unit="N",
        group="Limits",
        least=1,
        shown="8192, or what the limit of open files allows",
    )
    header_timeout: float = option(
        10.0, "Seconds that the headers of a request may take to arrive.", unit="SECONDS", group="Limits", above=0
    )
    max_documents: int = option(1000, "Pairs of one request.", unit="N", group="Limits", reloads=True, least=1)
    max_waiting_tokens: int = option(
        2_000_000,
        "Tokens of each model that are admitted and not yet computed.",
        unit="N",
        group="Limits",
        reloads=True,
        least=1,
    )
    timeout: float = option(
        60.0,
        "Seconds that a request may take; a client may set fewer with `x-request-timeout`, as openai's SDK does by "
        "itself.",
        unit="SECONDS",
        group="Limits",
        reloads=True,
        above=0,
    )
    body_timeout: float = option(
        30.0, "Seconds that a body may take to arrive.", unit="SECONDS", group="Limits", reloads=True, above=0
    )
    drain_delay: float = option(
        0.0,
        "Seconds from the end of readiness to the end of new requests, for load balancers.",
        unit="SECONDS",
        group="Shutdown",
        reloads=True,
        least=0,
    )
    shutdown_timeout: float = option(
        30.0, "Seconds that running requests have after that.", unit="SECONDS", group="Shutdown", reloads=True, least=0
    )
    usage_flush: float = option(
        1.0, "Seconds between writes of usage; `kill -9` loses no more.", unit="SECONDS", group="Keys", above=0
    )
    keys_cache: float = option(5.0, "Seconds that a revoked key may still work.", unit="SECONDS", group="Keys", least=0)
    watchdog: float = option(
        600.0,
        "Seconds after which a batch counts as stuck.",
        unit="SECONDS",
        group="Logs and health",
        reloads=True,
        above=0,
    )
    log_level: str = option(
        "info",
        "Least level of the lines of the log; changes of keys are always told. Answered health checks are debug.",
        choices=("debug", "info", "warning", "error"),
        group="Logs and health",
        reloads=True,
    )
    log_addresses: bool = option(
        False, "Write the address of the client into the log.", group="Logs and health", reloads=True
    )
    log_format: str = option(
        "text", "Lines of the log: text or json.", choices=("text", "json"), group="Logs and health"
    )

    def __post_init__(self) -> None:
        for name in SETTINGS:
            check_setting(name, getattr(self, name))

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach the address."""
        if self.unix_socket:
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


#: What is known of each setting, by its name.
SETTINGS = option_facts(ServerSettings)


def check_setting(name: str, value: Any) -> None:
    """Raise InputError for a value of the right type that a setting cannot have."""
    SETTINGS[name].check(name, value)
    if name == "models":
        _refuse_shared_names(value)
        _refuse_unknown_second(value)
    if name == "host" and not value.strip():
        raise InputError("host must name an address to listen on")
    if name == "allowed_hosts" and (wrong := [each for each in value if not _HOST_NAME.fullmatch(each)]):
        raise InputError(f"allowed_hosts must hold names such as rerank.example, without a port, got {wrong[0]!r}")
    if name == "cors_origins" and (wrong := [each for each in value if not _ORIGIN.fullmatch(each)]):
        raise InputError(f"cors_origins must hold origins such as https://app.example:8080, got {wrong[0]!r}")
    if name == "root_path" and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", value):
        raise InputError(f"root_path must begin with / and end without one, got {value!r}")
    if name == "trusted_proxies":
        for each in value:
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise InputError(f"trusted_proxies must hold addresses or networks, got {each!r}") from None


def reloaded(now: ServerSettings, read: ServerSettings) -> tuple[ServerSettings, list[str], list[str]]:
    """What a running server makes of settings that were read again.

    Returns its new settings, the names of those that changed, and of those that need a restart and stay. Of models,
    prices, aliases and calibrations change without one.
    """
    differing = [name for name in SETTINGS if getattr(now, name) != getattr(read, name)]
    changed = [
        name
        for name in differing
        if SETTINGS[name].reloads or (name == "models" and _identities(now.models) == _identities(read.models))
    ]
    settings = replace(now, **{name: getattr(read, name) for name in changed})
    return settings, changed, [name for name in differing if name not in changed]


def _identities(models: tuple[ModelSettings, ...]) -> list[dict[str, Any]]:
    usual = {"price": None, "aliases": (), "calibration": None, "allow_other_calibration": False}
    return [{**asdict(model), **usual} for model in models]


def _refuse_shared_names(models: tuple[ModelSettings, ...]) -> None:
    if not models:
        raise InputError("models must hold at least one")
    seen: set[str] = set()
    for name in (name.lower() for model in models for name in {model.name, *model.aliases}):
        if name in seen:
            raise InputError(f"two models are called {name!r}; give one of them another id")
        seen.add(name)


def _refuse_unknown_second(models: tuple[ModelSettings, ...]) -> None:
    """Raise InputError unless each second model of a cascade is another reranker here, and no first one itself."""
    seconds = {model.name for model in models if model.kind == "reranker" and model.then is None}
    for model in models:
        if model.then is not None and model.then not in seconds:
            there = ", ".join(sorted(seconds)) or "none"
            raise InputError(f"then must be the id of another reranker, without a `then` ({there}), got {model.then!r}")
