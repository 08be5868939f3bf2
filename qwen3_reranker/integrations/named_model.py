"""A model by its name: opened when it is first used, and once for all components of a process that use it."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.opened_model import OpenedModel
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights.hub_name import is_server

Model = TypeVar("Model", bound=OpenedModel)


class NamedModel(Generic[Model]):
    """A model that components of a framework hold, light to make, to copy and to pickle.

    kind: Reranker or Embedder. model: what it opens, or an opened one, which is used as it is; a Reranker may be the
    URL of a server. options: its keyword arguments, such as precision, or those of a server. Raises InputError for an
    option that it does not have or a value that it refuses.
    """

    def __init__(self, kind: type[Model], model: str | os.PathLike[str] | Model, options: Mapping[str, Any]) -> None:
        if issubclass(kind, Reranker) and isinstance(model, str) and is_server(model):
            ServerOptions.of(options, model)
        else:
            _check_local(kind, options)
        self._kind, self._options = kind, dict(options)
        self._opened_kinds = (kind, RemoteReranker) if issubclass(kind, Reranker) else (kind,)
        self._model: Model | None = model if isinstance(model, self._opened_kinds) else None  # type: ignore[assignment]
        if self._model is None and not isinstance(model, str | os.PathLike):
            raise InputError(f"model must be a name, a path or an open {kind.__name__}, got {type(model).__name__}")
        self._name = self._model or os.fspath(model)  # type: ignore[arg-type]

    def open(self) -> Model:
        """The opened model. Raises what its class raises."""
        if self._model is None:
            self._model = _OPENED.get(self._kind, self._name, self._options)
        return self._model

    async def aopen(self) -> Model:
        """The same for asyncio: a model that is not opened yet is opened in a thread."""
        return await asyncio.to_thread(self.open)

    def close(self) -> None:
        """Let the model go. Its memory is free when no component uses it any more; the next use opens it again."""
        if not isinstance(self._name, self._opened_kinds):
            self._model = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedModel) and self.__reduce__() == other.__reduce__()

    def __reduce__(self) -> tuple[type[NamedModel[Model]], tuple[Any, ...]]:
        return NamedModel, (self._kind, self._name, self._options)


def _check_local(kind: type[OpenedModel], options: Mapping[str, Any]) -> None:
    """Refuse what is no option of a model on this machine."""
    known = [name for name in inspect.signature(kind).parameters if name != "model"]
    for name in options:
        if name not in known:
            raise unknown("option", name, known, "options are")
    EngineOptions.of({name: value for name, value in options.items() if name in EngineOptions.__dataclass_fields__})


class _OpenedModels:
    """The models that this process has opened by name, as long as something uses them."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
        self._lock = threading.Lock()
        renew_in_children(self)

    def get(self, kind: type[Model], name: Any, options: Mapping[str, Any]) -> Model:
        key = (kind, name, *sorted(options.items()))
        with self._lock:
            model: Model | None = self._models.get(key)
            if model is None or model.is_closed:
                model = self._models[key] = kind(name, **options)
            return model

    def in_forked_child(self) -> None:
        self._lock = threading.Lock()


_OPENED = _OpenedModels()
