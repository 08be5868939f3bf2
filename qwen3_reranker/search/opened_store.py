"""The address of an index -> the store that keeps it, opened."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.search.index_store import IndexStore
from qwen3_reranker.search.local_store import LocalStore

if TYPE_CHECKING:
    from qwen3_reranker.search.lance_store import LanceStore

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)


def opened_store(address: str | os.PathLike[str], wait: float) -> IndexStore:
    """The store in a folder or at a URL, made if it is not there; wait: seconds for another writer.

    Raises InputError for an unknown kind of URL, and what opening the store raises.
    """
    uri = _lance_uri(address)
    return LocalStore(address, wait) if uri is None else _lance_store()(uri, wait)


def is_index(address: str) -> bool:
    """Whether there is an index at an address. Raises what `opened_store` raises."""
    uri = _lance_uri(address)
    return LocalStore.exists(address) if uri is None else _lance_store().exists(uri)


def _lance_store() -> type[LanceStore]:
    if find_spec("lancedb") is None:
        raise UnavailableError('this index needs lancedb, which is missing: pip install "qwen3_reranker[lancedb]"')
    from qwen3_reranker.search.lance_store import LanceStore

    return LanceStore


def _lance_uri(address: str | os.PathLike[str]) -> str | None:
    """What LanceDB calls the place; None for a folder of files. Raises InputError for another kind of URL."""
    found = _URL.fullmatch(os.fspath(address))
    if found is None:
        return None
    scheme, place = found.groups()
    engine, plus, storage = scheme.partition("+")
    if engine != "lancedb" or not place or (plus and not storage):
        raise InputError(
            f"{os.fspath(address)}: expected a folder, lancedb:///FOLDER, or object storage as lancedb+s3://BUCKET/PATH"
        )
    return f"{storage}://{place}" if storage else os.path.expanduser(place)
