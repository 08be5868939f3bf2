"""Settings of the server: defaults, then a TOML file, then the environment, then flags. The last wins."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError

from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option_facts
from qwen3_reranker.serve.server_options import ServerOptions

PREFIX = "QWEN3_RERANKER_"
#: Names the file if no flag does.
FILE_VARIABLE = f"{PREFIX}CONFIG"
# Settings that are flags too are described there.
_HELP = {name: facts.help for name, facts in option_facts(ServerOptions).items()}


class ModelSettings(BaseModel):
    """One model to serve.

    source: nano, a folder, a .gguf file or a Hub id. id: the name that clients use, by default the source. aliases:
    further names. price: US dollars for a million prompt tokens. options: the fields of EngineOptions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "nano"
    id: str | None = None
    aliases: tuple[str, ...] = ()
    revision: str | None = None
    kind: Literal["reranker", "embedder"] = "reranker"
    price: Decimal | None = Field(default=None, ge=0, le=1_000_000)
    options: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The id under which it is served."""
        return self.id or self.source


class ServerSettings(BaseSettings):
    """Settings of a server. Each field is a key of the file, and QWEN3_RERANKER_<FIELD> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description=_HELP["host"])
    port: int = Field(8000, ge=0, le=65535, description=_HELP["port"])
    models: tuple[ModelSettings, ...] = Field(
        (ModelSettings(),), min_length=1, description="Models to serve; the first of a kind is the default."
    )
    keys: str | None = Field(None, description=_HELP["keys"])
    pepper: SecretStr | None = Field(
        None, description="Secret mixed into the hashes of keys, which makes a stolen database useless."
    )
    allow_public: bool = Field(False, description=_HELP["allow_public"])
    public_metrics: bool = Field(
        False, description="Answer `/metrics` without a key; otherwise it needs the scope `metrics`."
    )
    accept_any_model: bool = Field(
        False, description="Serve any name with the first model, for clients that cannot set the model's name."
    )
    max_body_bytes: int = Field(16 << 20, ge=1024, description="Bytes of one body.")
    max_bodies_bytes: int = Field(256 << 20, ge=1024, description="Bytes of all bodies in the server.")
    max_requests: int = Field(256, ge=1, description="Requests in the server at once; more get 503.")
    max_documents: int = Field(1000, ge=1, description="Pairs of one request.")
    max_waiting_tokens: int = Field(2_000_000, ge=1, description=_HELP["max_waiting_tokens"])
    timeout: float = Field(
        60.0,
        gt=0,
        description=_HELP["timeout"],
    )
    body_timeout: float = Field(30.0, gt=0, description="Seconds that a body may take to arrive.")
    drain_delay: float = Field(
        0.0, ge=0, description="Seconds from the end of readiness to the end of new requests, for load balancers."
    )
    shutdown_timeout: float = Field(30.0, ge=0, description="Seconds that running requests have after that.")
    usage_flush: float = Field(1.0, gt=0, description="Seconds between writes of usage; `kill -9` loses no more.")
    keys_cache: float = Field(5.0, ge=0, description="Seconds that a revoked key may still work.")
    watchdog: float = Field(600.0, gt=0, description="Seconds after which a batch counts as stuck.")
    log_format: Literal["text", "json"] = Field("text", description=_HELP["log_format"])

    @field_validator("models")
    @classmethod
    def _one_name_each(cls, models: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
        seen: set[str] = set()
        for name in (name.lower() for model in models for name in {model.name, *model.aliases}):
            if name in seen:
                raise ValueError(f"two models are called {name!r}; give one of them another id")
            seen.add(name)
        return models

    @field_validator("host")
    @classmethod
    def _no_empty_host(cls, host: str) -> str:
        if not host.strip():
            raise ValueError("must name an address to listen on")
        return host

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach the address."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


def read_settings(flags: Mapping[str, Any], file: str | None = None) -> ServerSettings:
    """The settings of this process.

    flags: fields from the command line. file: a TOML file, by default the one that QWEN3_RERANKER_CONFIG names. Raises
    InputError for a file that cannot be read, an unknown field or a value that cannot be used, and for a public
    address without keys.
    """
    named = file or os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise InputError(f"{named}: no such configuration file")

    class Sourced(ServerSettings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_sources: PydanticBaseSettingsSource, **given: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = (TomlConfigSettingsSource(settings_cls, Path(named)),) if named else ()
            return *given.values(), *file

    try:
        settings: ServerSettings = Sourced(**flags)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        wrong = first["msg"].replace("Input should be", "must be", 1)
        if path in flags:
            raise InputError(f"{path} {wrong}, got {flags[path]!r}") from None
        raise InputError(f"{named or 'settings'}: {path}: {wrong}") from None
    except (SettingsError, ValueError) as error:
        raise InputError(f"{named or 'settings'}: {error}") from None
    refuse_public_without_keys(settings)
    return settings


def refuse_public_without_keys(settings: ServerSettings) -> None:
    """Raise InputError for an address that others can reach without keys, unless `allow_public` is set."""
    if settings.is_public and settings.keys is None and not settings.allow_public:
        raise InputError(
            f"{settings.host} can be reached by others and no keys are asked for: give --keys keys.db, listen on "
            "127.0.0.1, or say --allow-public if that is meant"
        )
