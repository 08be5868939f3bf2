"""Published facts of known models, from model_facts.json: shapes, licences and scores, before any is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import Any

from qwen3_reranker.config import ModelConfig

RERANKING = "reranking"
EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One published result, with the baseline of its table.

    measure: what the number is, such as "10 English retrieval tasks, nDCG@10 x 100".
    """

    benchmark: str
    measure: str
    value: str
    baseline: str | None = None

    @property
    def difference(self) -> Decimal | None:
        """The value less the baseline, with all their digits. None without a baseline."""
        return None if self.baseline is None else Decimal(self.value) - Decimal(self.baseline)


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """Results from one source. baseline: what the second column is; remarks: what a reader must know to trust them.

    stated: how many rows, from the first, `statement` puts in words.
    """

    source: str
    address: str | None
    rows: tuple[PublishedScore, ...]
    baseline: str | None = None
    remarks: tuple[str, ...] = ()
    stated: int = 0

    @property
    def statement(self) -> str:
        """How the model stands to the baseline, in words made from the rows. Empty where none are stated."""
        parts = []
        for row in self.rows[: self.stated]:
            by = row.difference
            assert by is not None, "a row without a baseline cannot be stated"
            parts.append(f"{abs(by)} {'above' if by >= 0 else 'below'} it on the {row.benchmark}")
        if not parts:
            return ""
        first = parts[0].replace(" it ", f" {self.baseline} ", 1)
        return f"By nDCG@10 it is {', '.join([first, *parts[1:-1]])} and {parts[-1]}."


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts of a model before it is loaded.

    id: the name that `Reranker` or `Embedder` opens. task: RERANKING or EMBEDDING. context: tokens that its makers
    promise, which may be fewer than `config.max_position_embeddings`. origin: what it was made from. stored_in: the
    type of the weights in its files, "bfloat16" or "int8". stored_bytes: what they take there.
    """

    id: str
    name: str
    task: str
    summary: str
    maker: str
    released: str
    licence: str
    languages: str
    context: int
    config: ModelConfig
    origin: str
    scores: PublishedScores
    stored_in: str
    stored_bytes: int
    address: str | None = None

    def layer_bytes(self, precision: str) -> int:
        """Bytes of the layers' matrices on the cpu backend, in float32, bfloat16 or int8.

        float32 and bfloat16 map a file in bfloat16 as it is. int8 has a float32 scale for every 64 weights.
        """
        if precision == "int8":
            return self.config.num_linear_parameters * 17 // 16
        is_wide = precision == "float32" and self.stored_in == "int8"
        return self.config.num_linear_parameters * (4 if is_wide else 2)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values in float32, as the cpu backend stores them."""
        return 2 * 4 * self.config.num_hidden_layers * self.config.num_key_value_heads * self.config.head_dim


def known(name: str) -> ModelFacts | None:
    """The facts of the model with that id, in any case. None for an unknown one."""
    return next((facts for facts in KNOWN if facts.id.lower() == name.lower()), None)


def _read() -> Iterator[ModelFacts]:
    package = files("qwen3_reranker")
    facts = json.loads((package / "model_facts.json").read_text(encoding="utf-8"))
    for model in facts["models"]:
        id, table = model["id"], facts["score_tables"][model["score_table"]]
        # A model that comes with the package has files, and a name without an owner.
        folder = None if "/" in id else package / "weights" / "bundled" / id
        about = {**facts["qwen"], **model} if folder is None else model
        scores = _scores(table, model["scores"])
        yield ModelFacts(
            **{name: about[name] for name in ("id", "task", "maker", "released", "licence", "languages")},
            name=id.rpartition("/")[2],
            summary=" ".join(filter(None, (about["summary"], scores.statement))),
            context=about["context"],
            origin=about["origin"],
            scores=scores,
            **(_published(facts["qwen"], model) if folder is None else _in_the_files(folder)),
        )


def _published(qwen: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """What the files of a model of Qwen's hold. Its shape differs from the smallest one's in a few fields."""
    config = ModelConfig(**{**qwen["shape"], **model["shape"]})
    address = f"https://huggingface.co/{model['id']}"
    return {"config": config, "stored_in": "bfloat16", "stored_bytes": 2 * config.num_parameters, "address": address}


def _in_the_files(folder: Traversable) -> dict[str, Any]:
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with as_file(folder / "model.safetensors") as weights:
        stored_bytes = weights.stat().st_size
    stored_in = "int8" if "quantization_config" in fields else "bfloat16"
    config = ModelConfig.from_json(fields, "config.json")
    return {"config": config, "stored_in": stored_in, "stored_bytes": stored_bytes}


def _scores(table: dict[str, Any], values: list[str]) -> PublishedScores:
    return PublishedScores(
        source=table["source"],
        address=table["address"],
        rows=tuple(
            PublishedScore(benchmark, measure, value, baseline)
            for (benchmark, measure, baseline), value in zip(table["rows"], values, strict=True)
        ),
        baseline=table["baseline"],
        remarks=tuple(table["remarks"]),
        stated=table.get("stated", 0),
    )


KNOWN = tuple(_read())
NANO = KNOWN[0]
