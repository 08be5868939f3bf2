"""Settings from their sources: defaults, then a TOML file, then the environment, then flags. The last wins."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from qwen3_reranker.errors import ConfigurationError, InputError, unknown
from qwen3_reranker.serve.settings import SETTINGS, ModelSettings, ServerSettings, check_setting

PREFIX = "QWEN3_RERANKER_"
#: Names the file if no flag does.
FILE_VARIABLE = f"{PREFIX}CONFIG"
# Variables of clients: the doctor and the mining of training data, and the pages' examples.
_OTHER_VARIABLES = {FILE_VARIABLE, f"{PREFIX}API_KEY", f"{PREFIX}KEY"}
# Kubernetes gives them to every container beside a Service that is called qwen3-reranker.
_OF_KUBERNETES = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
_TYPES = get_type_hints(ServerSettings)


def read_settings(flags: Mapping[str, Any], file: str | None = None) -> ServerSettings:
    """The settings of this process.

    flags: settings from the command line. file: a TOML file, by default the one that QWEN3_RERANKER_CONFIG names.
    Variables without a value count as not set. Raises InputError for a file that cannot be read, for a setting or a
    variable QWEN3_RERANKER_... that does not exist, for a value that cannot be used, and for a public address without
    keys.
    """
    named = file or os.environ.get(FILE_VARIABLE)
    values = settings_in_file(named) if named else {}
    for variable, name, text in _variables():
        values[name] = _setting(name, text, f"{variable}: ")
    values |= {name: _setting(name, value) for name, value in flags.items()}
    settings = ServerSettings(**values)
    refuse_public_without_keys(settings)
    return settings


def settings_of(values: Mapping[str, Any], base: ServerSettings | None = None) -> ServerSettings:
    """Settings of plain values, as JSON and TOML have them; the others are those of `base`. Raises InputError."""
    return replace(base or ServerSettings(), **{name: _setting(name, value) for name, value in values.items()})


def settings_in_file(file: str) -> dict[str, Any]:
    """The settings that a TOML file has, by name. Raises InputError."""
    try:
        found = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such configuration file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return {name: _setting(name, value, f"{file}: ") for name, value in found.items()}


def _variables() -> Iterator[tuple[str, str, str]]:
    """Variable, setting and text of each variable of the environment that is a setting."""
    for variable, text in os.environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or not text:
            continue
        if _OF_KUBERNETES.fullmatch(variable) and (name not in SETTINGS or "://" in text):
            continue
        yield variable, name, text


def _setting(name: str, value: Any, origin: str = "") -> Any:
    """The value in the setting's type. origin: what an error begins with."""
    try:
        if name not in SETTINGS:
            raise unknown("setting", name, SETTINGS, listed="there are")
        typed = _typed(name, value)
        check_setting(name, typed)
    except InputError as error:
        if not origin:
            raise
        raise ConfigurationError(f"{origin}{error}") from None
    return typed


def _typed(name: str, value: Any) -> Any:
    kind = _TYPES[name]
    if isinstance(value, str) and kind == tuple[str, ...]:
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, str) and name == "models":
        try:
            value = json.loads(value)
        except ValueError as error:
            raise InputError(f"models must be JSON: {error}") from None
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
    path = ".".join([name, *(str(part) for part in first["loc"])])
    if first["type"] == "unexpected_keyword_argument":
        place, _, field = path.rpartition(".")
        raise unknown(f"field of {place}", field, [each.name for each in fields(ModelSettings)])
    if first["type"] == "value_error":
        raise InputError(f"{path}: {first['ctx']['error']}")
    shown = "" if SETTINGS[name].is_secret or first["loc"] else f", got {value!r}"
    raise InputError(f"{path} {first['msg'].replace('Input should be', 'must be', 1)}{shown}")


def refuse_public_without_keys(settings: ServerSettings) -> None:
    """Raise InputError for an address that others can reach without keys, unless `allow_public` is set."""
    if settings.is_public and settings.keys is None and not settings.allow_public:
        raise InputError(
            f"{settings.host} can be reached by others and no keys are asked for: give --keys keys.db, listen on "
            "127.0.0.1, or say --allow-public if that is meant"
        )
