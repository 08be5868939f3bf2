"""A search index of a set's documents -> the passages that a search would judge, and what its parts would list."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.first_stage import FirstStage
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.logits_file import file_name
from qwen3_reranker.prompt import is_blank
from qwen3_reranker.search import Index
from qwen3_reranker.search.candidate_search import VECTORS, WORDS
from qwen3_reranker.search.results import SearchHit, text_to_judge

#: By name of a list: the searches it consists of, and the score that orders it.
_Lists = dict[str, tuple[tuple[str, ...], str]]


def indexed(
    labelled: LabelledSet,
    depth: int,
    seed: int,
    kept: Path,
    embedder: Embedder | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> FirstStage:
    """The best `depth` passages of an `Index` of the documents, by words, and with an embedder also by vectors.

    The parts are the lists of words and of vectors alone. Index and lists are kept below the folder `kept`. seed: of
    the order in which documents are added, which is that of equal ones. Raises InputError for a set without documents.
    """
    if not labelled.documents:
        raise InputError(f"{labelled.name}: an index needs documents, and the set has none; name a stored run")
    made_by = "index"
    lists: _Lists = {"index (BM25)": ((WORDS,), "bm25")}
    if embedder is not None:
        name = embedder.checkpoint.name
        made_by += f"-{file_name(name)}-{embedder.options.precision}-{embedder.dim}-{embedder.tokens.max_length}"
        name = Path(name).name if Path(name).exists() else name
        lists[f"index ({name})"] = ((VECTORS,), "cosine")
        lists[f"index (BM25 + {name})"] = ((WORDS, VECTORS), "fused")
    folder = kept / f"{made_by}-{seed}-{labelled.digest()[:12]}"
    path = folder / f"lists-{depth}.json"
    if not path.is_file():
        found = _retrieved(labelled, depth, seed, folder, embedder, lists, on_progress)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found), encoding="utf-8")
        unfinished.replace(path)
    try:
        return _of_file(labelled, depth, path)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run again") from None


def _retrieved(
    labelled: LabelledSet,
    depth: int,
    seed: int,
    folder: Path,
    embedder: Embedder | None,
    lists: _Lists,
    on_progress: Callable[[float], None] | None,
) -> dict[str, Any]:
    """All queries' lists, and the texts of their passages."""
    ids = list(labelled.documents)
    order = np.random.default_rng(seed).permutation(len(ids)).tolist()
    passages: dict[tuple[str, str], str] = {}
    made: dict[str, Any] = {name: {"run": {}, "seconds": {}} for name in lists}
    room = depth + 3 * labelled.excludes_itself
    with Index(folder, reranker=None, embedder=embedder) as index:
        # The words of an id are words of its document in an index, and one with an underscore is no word of a query.
        index.add({"id": f"_{place}", "text": labelled.documents[ids[place]]} for place in order)
        for number, (query, text) in enumerate(labelled.queries.items(), start=1):
            for name, (by, score) in lists.items():
                begun = time.perf_counter()
                # A blank query finds nothing; judging it is refused by name.
                hits = [] if is_blank(text) else index.candidates(text, room, by=by)
                made[name]["seconds"][query] = round(time.perf_counter() - begun, 6)
                run: dict[str, float] = {}
                made[name]["run"][query] = run
                for hit in hits:
                    document = ids[int(hit.path[1:])]
                    if len(run) < depth and not (labelled.excludes_itself and document == query):
                        run[_number(passages, document, hit)] = getattr(hit, score)
            if on_progress:
                on_progress(number / len(labelled.queries))
    return {
        "lists": made,
        "texts": {name: text for (_, text), name in passages.items()},
        "document_of": {name: document for (document, _), name in passages.items()},
    }


def _number(passages: dict[tuple[str, str], str], document: str, hit: SearchHit) -> str:
    """The name of a passage: its document's, and a number."""
    return passages.setdefault((document, text_to_judge(hit.headings, hit.text)), f"{document} #{len(passages) + 1}")


def _of_file(labelled: LabelledSet, depth: int, path: Path) -> FirstStage:
    content = json.loads(path.read_text(encoding="utf-8"))
    stages = []
    for name, found in content["lists"].items():
        run = {query: found["run"][query] for query in labelled.qrels if query in found["run"]}
        what = json.dumps((found["run"], content["texts"]), sort_keys=True).encode("utf-8", "surrogatepass")
        stages.append(
            FirstStage(
                name,
                min(depth, max(map(len, run.values()), default=0)),
                run,
                hashlib.sha256(what).hexdigest(),
                texts=content["texts"],
                document_of=content["document_of"],
                seconds={query: found["seconds"][query] for query in run},
            )
        )
    *parts, whole = stages
    return replace(whole, parts=tuple(parts))
