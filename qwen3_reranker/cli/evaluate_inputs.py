"""What `evaluate` was given -> sets, first stages and systems to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from qwen3_reranker.cli.opened_reranker import is_server
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import (
    RUN_ENDINGS,
    SUITE_NAMES,
    BandChoice,
    Candidate,
    FirstStage,
    LabelledSet,
    bm25,
    dense,
    given,
    held_out,
    indexed,
    library,
    read_sets,
    stored,
    suite,
    suite_sets,
)
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search.opened_models import INDEX_DIM
from qwen3_reranker.search.search_index import CANDIDATES

DEPTH = 100
_NOT_OF_EMBEDDER = ("prompt", "truncate_queries", "special_tokens", "max_length", "revision")


@dataclass(frozen=True, slots=True)
class FirstStageOptions:
    """How lists are made.

    depth: None for 100, or all documents of lists that are there. seed: of ties. folder: where lists are stored.
    embedder: options of an embedding model. index_embedder: that of an index, if it has vectors.
    """

    depth: int | None
    seed: int
    folder: Path
    embedder: Mapping[str, Any]
    index_embedder: str | None = None


def is_opened_here(model: str) -> bool:
    """Whether a system is a model on this machine: no server, and no stored run."""
    return not (model.endswith(RUN_ENDINGS) or is_server(model))


def check_openable(
    models: Sequence[str], variants: Sequence[Mapping[str, Any]], server: Mapping[str, Any], stages: Sequence[str]
) -> None:
    """Open every model without its weights, reach every server and look for every run, before long work.

    Raises what Reranker raises, and InputError for a run that is not there.
    """
    for place in (*models, *stages):
        if place.endswith(RUN_ENDINGS) and not Path(place).is_file():
            raise InputError(f"{place}: no such file")
    for model in dict.fromkeys(each for each in models if is_server(each)):
        Reranker(model, **server).close()
    for model in dict.fromkeys(each for each in models if is_opened_here(each)):
        # Of what differs between variants, only the prompt says whether a model can be read.
        for variant in {each["prompt"]: each for each in variants}.values():
            Reranker(model, plan_only=True, **variant).close()


def read_all(places: Sequence[str]) -> list[LabelledSet]:
    """The sets of folders, files and suites; raises InputError where two have one name."""
    sets: list[LabelledSet] = []
    for place in dict.fromkeys(places):
        if place in SUITE_NAMES and not Path(place).exists():
            with ProgressBar(f"loading {place}") as bar:
                sets += suite_sets(place, bar)
        else:
            with ProgressBar(f"reading {place}"):
                sets += read_sets(Path(place))
    names = [labelled.name for labelled in sets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two sets are named {min(twice)!r}; name the folder above both, or rename one")
    return sets


def usual_prompts(places: Sequence[str]) -> Sequence[str | None]:
    """The prompts where none is named: a suite's own, or None for the checkpoint's."""
    named: list[str | None] = [prompt for place in places if place in SUITE_NAMES for prompt in suite(place).prompts]
    return list(dict.fromkeys(named)) or [None]


def instructions_to_try(
    models: Sequence[str],
    variants: Sequence[Mapping[str, Any]],
    instructions: Sequence[str] | None,
    sets: Sequence[LabelledSet],
    seed: int,
) -> list[str]:
    """The instructions to choose among: the data's own as the baseline, the caller's, the library's."""
    if len(models) != 1 or len(variants) != 1:
        raise InputError("--tune-instruction needs one model, in one precision, with one prompt")
    # Scoring takes long, so too few queries are refused before it.
    held_out([f"{labelled.name}/{query}" for labelled in sets for query in labelled.changed or labelled.qrels], seed)
    # Without an instruction in the data, the model's usual one is the baseline, and need not be tried twice.
    own = any(labelled.instruction or labelled.instructions for labelled in sets)
    return ["data", *(instructions or []), *(library() if own else library()[1:])]


def systems(
    models: Sequence[str],
    variants: Sequence[dict[str, Any]],
    server: dict[str, Any],
    instructions: Sequence[str] | None,
    one_model: bool,
) -> list[Candidate]:
    """Every model in every variant with every instruction; labels say what differs; one_model: instructions alone.

    server: the options of the models that are servers, which have no variants.
    """
    texts = [None if text == "data" else text for text in dict.fromkeys(instructions or ["data"])]
    differing = [name for name in ("precision", "prompt") if len({each[name] for each in variants}) > 1]
    found = []
    for model in dict.fromkeys(models):
        name = Path(model).name if Path(model).exists() else model
        if model.endswith(RUN_ENDINGS):
            found.append(Candidate(name, model))
            continue
        is_here = not is_server(model)
        for variant, text in product(variants if is_here else [server], texts):
            parts = [*([] if one_model else [name]), *(str(variant[each]) for each in differing if is_here)]
            if len(texts) > 1:
                parts.append("the data's instruction" if text is None else f'"{text}"')
            found.append(Candidate(", ".join(parts), model, text, variant))
    labels = [each.label for each in found]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise InputError(f"two systems would have the name {min(twice)!r}; give folders or files other names")
    return found


def band_choice(candidates: Sequence[Candidate], then: str, bands: str, margin: float) -> BandChoice:
    """The cascades to evaluate. Raises InputError for what gives no cascade of two models."""
    numbers = [each.strip() for each in bands.split(",")]
    if not all(each.isdecimal() and int(each) > 0 for each in numbers):
        raise InputError(f"--band must be numbers of documents such as 10,20,50, got {bands!r}")
    seconds = [each for each in candidates if each.model == then]
    if len(seconds) > 1:
        raise InputError("--then needs one instruction, one precision and one prompt")
    if seconds[0].is_run or not any(each.model != then and not each.is_run for each in candidates):
        raise InputError(f"--then needs two models: a small one before the options, and a larger one, got {then}")
    return BandChoice(seconds[0].label, tuple(sorted(set(map(int, numbers)))), margin)


def retrieved(sets: Sequence[LabelledSet], wanted: Sequence[str], options: FirstStageOptions) -> list[FirstStage]:
    """The lists of each set, from its own first stage or from a shared one."""
    if len(wanted) not in (1, len(sets)):
        raise InputError(f"--first-stage was given {len(wanted)} times for {len(sets)} sets; give one, or one for each")
    chosen = list(wanted) * (len(sets) if len(wanted) == 1 else 1)
    how = {each: value for each, value in options.embedder.items() if each not in _NOT_OF_EMBEDDER}
    stages = []
    with ExitStack() as opened:

        @cache
        def embedder(name: str, dim: int | None = None) -> Embedder:
            return opened.enter_context(Embedder(name, dim=dim, **how))

        for number, (labelled, name) in enumerate(zip(sets, chosen, strict=True), start=1):
            if name == "data" or (name == "auto" and labelled.candidates is not None):
                stages.append(given(labelled, options.depth))
            elif name in ("auto", "bm25"):
                with ProgressBar(f"BM25, set {number} of {len(sets)}") as bar:
                    stages.append(bm25(labelled, options.depth or DEPTH, options.seed, options.folder, bar))
            elif name == "index":
                vectors = None if options.index_embedder is None else embedder(options.index_embedder, dim=INDEX_DIM)
                with ProgressBar(f"indexing, set {number} of {len(sets)}") as bar:
                    depth = options.depth or CANDIDATES
                    stages.append(indexed(labelled, depth, options.seed, options.folder, vectors, bar))
            elif name.endswith(RUN_ENDINGS) or Path(name).is_file():
                stages.append(stored(labelled, Path(name), options.depth or DEPTH))
            else:
                with ProgressBar(f"embedding, set {number} of {len(sets)}") as bar:
                    stages.append(dense(labelled, embedder(name), options.depth or DEPTH, options.folder, bar))
    return stages
