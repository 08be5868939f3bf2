"""Options that several verbs have: which model, and how to print the result."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from qwen3_reranker.cli.terminal import on_terminal
from qwen3_reranker.option_fields import option


def format_option(choices: Sequence[str], otherwise: str = "json") -> Any:
    """The field `form`, with the flag --format. `otherwise`: the default where output does not go to a terminal."""
    shown = f"table on a terminal, otherwise {otherwise}"
    return option(None, "How to print the result.", choices=choices, flag="--format", shown=shown, group="Output")


def output_option(help: str) -> Any:
    """The field `output`, with the flags -o and --output."""
    return option(None, help, unit="FILE", flag="--output, -o", shown="standard output", group="Output")


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """How to print the result. A verb with other formats has a class of its own."""

    otherwise: ClassVar[str] = "json"
    form: str | None = format_option(("table", "json"))

    @property
    def chosen(self) -> str:
        """The format that was named, or a table on a terminal and `otherwise` elsewhere."""
        return self.form or ("table" if on_terminal(sys.stdout) else self.otherwise)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model."""

    group: ClassVar[str] = "Model"
    model: str = option(
        "nano",
        "nano, a folder, a GGUF file, or a Hub id such as owner/name or owner/name:Q8_0.",
        unit="NAME",
        flag="--model, -m",
    )
    revision: str | None = option(None, "Branch, tag or commit of a model on the Hub.", unit="NAME", shown="main")


@dataclass(frozen=True, kw_only=True)
class ModelOrServerOptions(ModelOptions):
    """Which model, on this machine or behind a server."""

    model: str = option(
        "nano",
        "nano, a folder, a GGUF file, a Hub id such as owner/name or owner/name:Q8_0, or the URL of a rerank server.",
        unit="NAME|URL",
        flag="--model, -m",
    )


@dataclass(frozen=True, kw_only=True)
class CalibratedOptions:
    """Which calibration gives the probabilities."""

    group: ClassVar[str] = "Calibration"
    calibrated: str | None = option(
        None,
        "Give the probabilities of FILE, written by `calibrate`, in place of the model's own. Without FILE: of "
        "calibration.json beside the model; the flag then stands last, or before another.",
        unit="[FILE]",
    )
    allow_other_calibration: bool = option(
        False, "Use it although it was fitted with another model, prompt or instruction."
    )


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """Where on the Hub a finished model goes."""

    group: ClassVar[str] = "Hub"
    push: str | None = option(None, "Send the model to this repository of the Hub, with a card.", unit="OWNER/NAME")
    private: bool = option(False, "Make a new repository private.")
