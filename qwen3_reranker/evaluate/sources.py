"""A path -> the labelled sets in it, whatever their format."""

from __future__ import annotations

from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.beir import is_set, read_folder
from qwen3_reranker.evaluate.labelled import LabelledSet, checked
from qwen3_reranker.evaluate.rerank_lines import read_rerank_lines
from qwen3_reranker.evaluate.trec import read_qrels


def read_sets(place: Path) -> list[LabelledSet]:
    """The sets of a folder and its folders, a JSON lines file, or judgements.

    A file of judgements inside a set's folder stands for that set with those judgements, anywhere else for judgements
    alone, with which stored runs can be measured. Raises InputError where there is no set, or a damaged one.
    """
    if place.is_dir():
        if is_set(place):
            return [checked(read_folder(place), place)]
        found = sorted(path for path in place.rglob("*") if path.is_dir() and is_set(path))
        if not found:
            raise InputError(
                f"{place}: holds no set; expected corpus.jsonl, queries.jsonl and qrels/, or topics and qrels"
            )
        return [checked(read_folder(path, path.relative_to(place).as_posix()), path) for path in found]
    if not place.is_file():
        raise InputError(f"{place}: no such file or folder, and no suite of that name")
    if place.suffix == ".jsonl":
        return [checked(read_rerank_lines(place, place.stem), place)]
    folder = place.parent.parent if place.parent.name == "qrels" else place.parent
    if is_set(folder):
        return [checked(read_folder(folder, f"{folder.resolve().name}/{place.stem}", place), place)]
    labels = read_qrels(place)
    return [checked(LabelledSet(place.stem, labels, queries={}, documents={}), place)]
