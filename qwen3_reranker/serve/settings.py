"""Settings of the server: defaults, then a TOML file, then the environment, then flags; the last wins."""

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

PREFIX = "QWEN3_RERANKER_"
#: Names the file if no flag does.
FILE_VARIABLE = f"{PREFIX}CONFIG"


class ModelSettings(BaseModel):
    """One model to serve.

    source: nano, a folder, a .gguf file or a Hub id. id: the name clients use, else the source. aliases: further names.
    price: US dollars for a million prompt tokens. options: the fields of EngineOptions.
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


class Settings(BaseSettings):
    """Settings of a server; each field is a key of the file, and QWEN3_RERANKER_<FIELD> in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    models: tuple[ModelSettings, ...] = Field(default=(ModelSettings(),), min_length=1)
    #: A SQLite file or a database URL that holds keys and usage; None serves whoever can reach the port.
    keys: str | None = None
    #: Secret mixed into the hashes of keys, so that a stolen database alone is of no use.
    pepper: SecretStr | None = None
    #: Serve without keys on an address that others can reach.
    allow_public: bool = False
    #: Answer /metrics without a key.
    public_metrics: bool = False
    #: Serve any name with the first model, for clients whose model name cannot be set.
    accept_any_model: bool = False
    max_body_bytes: int = Field(default=16 << 20, ge=1024)
    #: Bytes of all bodies that are being read or judged.
    max_bodies_bytes: int = Field(default=256 << 20, ge=1024)
    #: Requests in the server at once; more are told to come again.
    max_requests: int = Field(default=256, ge=1)
    max_documents: int = Field(default=1000, ge=1)
    #: Tokens admitted and not yet computed, for each model.
    max_waiting_tokens: int = Field(default=2_000_000, ge=1)
    #: Seconds that a request may take; clients may ask for less.
    timeout: float = Field(default=60.0, gt=0)
    #: Seconds that a body may take to arrive.
    body_timeout: float = Field(default=30.0, gt=0)
    #: Seconds between the end of readiness and of new requests, for load balancers to notice.
    drain_delay: float = Field(default=0.0, ge=0)
    #: Seconds that accepted requests have to end when the server is told to stop.
    shutdown_timeout: float = Field(default=30.0, ge=0)
    #: Usage is written this often; kill -9 loses at most this much of it.
    usage_flush: float = Field(default=1.0, gt=0)
    #: A revoked key works this much longer at most.
    keys_cache: float = Field(default=5.0, ge=0)
    #: A batch that takes longer means a network that hangs.
    watchdog: float = Field(default=600.0, gt=0)
    log_format: Literal["text", "json"] = "text"

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


def read_settings(flags: Mapping[str, Any], file: str | None = None) -> Settings:
    """The settings of this process.

    flags: fields that the command line gives. file: a TOML file, else what QWEN3_RERANKER_CONFIG names. Raises
    InputError for a file that cannot be read, an unknown field or a value that cannot be used, and for a public
    address without keys.
    """
    named = file or os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise InputError(f"{named}: no such configuration file")

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_sources: PydanticBaseSettingsSource, **given: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file = (TomlConfigSettingsSource(settings_cls, Path(named)),) if named else ()
            return *given.values(), *file

    try:
        settings: Settings = Sourced(**flags)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        wrong = first["msg"].replace("Input should be", "must be", 1)
        if place in flags:
            raise InputError(f"{place} {wrong}, got {flags[place]!r}") from None
        raise InputError(f"{named or 'settings'}: {place}: {wrong}") from None
    except (SettingsError, ValueError) as error:
        raise InputError(f"{named or 'settings'}: {error}") from None
    refuse_open_door(settings)
    return settings


def refuse_open_door(settings: Settings) -> None:
    """Raise InputError for an address that others can reach and no keys, unless that was asked for."""
    if settings.is_public and settings.keys is None and not settings.allow_public:
        raise InputError(
            f"{settings.host} can be reached by others and no keys are asked for: give --keys keys.db, listen on "
            "127.0.0.1, or say --allow-public if that is meant"
        )
