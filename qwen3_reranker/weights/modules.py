"""modules.json of a sentence-transformers folder -> its modules' names and places.

No class that it names is ever imported.
"""

from __future__ import annotations

from pathlib import Path

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_list, shown

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
INPUT = "sentence_bert_config.json"

TRANSFORMER, POOLING = "Transformer", "Pooling"


def read_modules(folder: Path) -> list[tuple[str, str]] | None:
    """The last name of each module's class and its place in the folder. None for a folder without modules.json.

    Raises CheckpointError for a file of another form. The places are as written: `refuse_other_places` checks them.
    """
    path = folder / MODULES
    if not path.exists():
        return None
    modules = []
    for module in read_list(path):
        kind, place = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str):
            raise CheckpointError(f"{path}: must list objects with type and path, got {shown(module)}")
        modules.append((kind.rpartition(".")[2], place))
    return modules


def refuse_other_places(folder: Path, modules: list[tuple[str, str]]) -> None:
    """Raise CheckpointError unless the first module is in the folder itself and the others in folders below it."""
    places = [place for _, place in modules]
    if places[0] or not all(_is_plain_name(place) for place in places[1:]):
        raise CheckpointError(
            f'{folder / MODULES}: expected the path "" for the {modules[0][0]} and a folder\'s name for what follows '
            f"it, got {shown(places)}; paths that lead elsewhere are refused"
        )


def _is_plain_name(place: str) -> bool:
    return (
        bool(place) and place.isprintable() and place not in (".", "..") and not any(mark in place for mark in "/\\:")
    )
