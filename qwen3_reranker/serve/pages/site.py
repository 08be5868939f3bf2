"""Site: the data that the pages show of their server."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.model_facts import EMBEDDING, RERANKING, ModelFacts, known
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.models import Models
from qwen3_reranker.serve.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model of the catalogue: known, served here, or both."""

    id: str
    name: str
    task: str
    config: ModelConfig
    specification: ModelFacts | None
    served: tuple[ServedModel, ...]

    @property
    def is_live(self) -> bool:
        """Whether this server runs it."""
        return bool(self.served)

    @property
    def typical_tokens(self) -> int:
        """Tokens that a usual request is charged for, where a reranker is served. Else 0."""
        if not self.served or not self.served[0].ranks:
            return 0
        each = self.served[0].template_tokens + TYPICAL_QUERY_TOKENS + TYPICAL_DOCUMENT_TOKENS
        return TYPICAL_DOCUMENTS * each

    @property
    def related(self) -> str:
        """The model of the other task and the same size, where Qwen publishes one. Else nothing."""
        other = {RERANKING: ("-Reranker-", "-Embedding-"), EMBEDDING: ("-Embedding-", "-Reranker-")}[self.task]
        found = known(self.id.replace(*other))
        return found.id if found is not None and found.id != self.id else ""


#: A usual request, for costs and speeds that can be compared.
TYPICAL_DOCUMENTS = 100
TYPICAL_DOCUMENT_TOKENS = 150
TYPICAL_QUERY_TOKENS = 10


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """What a model has computed since the server started, its test pairs included."""

    tokens: int
    seconds: float

    @property
    def documents_per_second(self) -> float:
        """Documents of TYPICAL_DOCUMENT_TOKENS, each of which is computed; a request's query is computed once."""
        return self.tokens / self.seconds / TYPICAL_DOCUMENT_TOKENS


@dataclass(frozen=True, slots=True)
class Site:
    """A server as its pages show it. keys_required: whether requests need a key; version: of the package.

    searches: whether there is an index of files.
    """

    models: tuple[ServedModel, ...]
    keys_required: bool
    version: str
    metrics: Metrics | None = None
    searches: bool = False

    @classmethod
    def of(
        cls,
        models: Models,
        *,
        keys_required: bool,
        version: str,
        metrics: Metrics | None = None,
        searches: bool = False,
    ) -> Site:
        """The site of a server's models; metrics: where their speed is read."""
        served = map(ServedModel.of, models.all)
        return cls(tuple(served), keys_required, version, metrics, searches)

    def speed(self, model: ServedModel) -> MeasuredSpeed | None:
        """The speed of a model on this machine, None before it has computed anything."""
        if self.metrics is None:
            return None
        tokens, seconds = self.metrics.batch_sums(model.id)
        return MeasuredSpeed(int(tokens), seconds) if tokens and seconds else None

    @property
    def rerankers(self) -> tuple[ServedModel, ...]:
        """The rerankers in their served order; the first is the default."""
        return tuple(model for model in self.models if model.ranks)

    def entries(self, known_models: tuple[ModelFacts, ...]) -> tuple[CatalogueEntry, ...]:
        """The catalogue: the served models first, then those that are known and not served."""
        served: dict[str, list[ServedModel]] = {}
        for model in self.models:
            specification = known(model.repository)
            served.setdefault(model.id if specification is None else specification.id, []).append(model)
        entries = []
        for id, models in served.items():
            specification, first = known(id), models[0]
            name = first.id if specification is None else specification.name
            entries.append(CatalogueEntry(id, name, first.task, first.config, specification, tuple(models)))
        entries += [
            CatalogueEntry(each.id, each.name, each.task, each.config, each, ())
            for each in known_models
            if each.id not in served
        ]
        return tuple(entries)

    def names(self, entry: CatalogueEntry) -> frozenset[str]:
        """Every name of a model, in lower case."""
        mine = {name for model in entry.served for name in (model.id, model.repository, *model.aliases)}
        return frozenset(name.lower() for name in {entry.id, *mine})
