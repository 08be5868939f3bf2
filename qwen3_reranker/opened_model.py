"""What Reranker and Embedder share as objects: closing, `with`, copies and pickles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from qwen3_reranker.backends.base import Backend
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.runner import Runner
from qwen3_reranker.weights import Checkpoint, lasting_name


class OpenedModel:
    """An opened model, for `with` too. A copy opens it again, a Hub model at the same commit.

    arguments: the keyword arguments that it was made of.
    """

    def __init__(
        self, checkpoint: Checkpoint, options: EngineOptions, backend: Backend | None, arguments: Mapping[str, Any]
    ) -> None:
        self.checkpoint = checkpoint
        self.options = options
        self.runner = Runner(checkpoint, options, backend, type(self).__name__)
        self._arguments = arguments

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""
        return self.checkpoint.config

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self.runner.is_closed

    def close(self) -> None:
        """Give the memory back, once a call under way has ended. It cannot be used afterwards."""
        self.runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        if self.runner.is_closed:
            raise self.runner.unusable()
        name, revision = lasting_name(self._arguments["model"], self._arguments["revision"], self.checkpoint.folder)
        return partial(type(self), **{**self._arguments, "model": name, "revision": revision}), ()

    def __repr__(self) -> str:
        shown = {"backend": self.options.backend, "precision": self.options.precision}
        shown |= {name: value for name, value in self._arguments.items() if name not in ("model", *shown) and value}
        model = repr(os.fspath(self._arguments["model"]))
        words = ", ".join([model, *(f"{name}={value!r}" for name, value in shown.items())])
        return f"<{'closed ' if self.runner.is_closed else ''}{type(self).__name__}({words})>"
