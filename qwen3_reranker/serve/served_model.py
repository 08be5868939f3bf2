"""A served model as clients and pages read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.model_facts import EMBEDDING, RERANKING, known
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.serve.models import ServedEmbedder, ServedReranker
from qwen3_reranker.weights.hub import is_bundled

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Calibration


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that this server runs.

    id: its name in requests; aliases: its other names. repository: what `Reranker` opens, such as "nano" or a Hub id.
    owner: its first part, "local" for a file or folder. description, licence: empty and None for an unknown model.
    price: US dollars for a million tokens, None for nothing. max_length: tokens of a whole row. is_ready: whether it
    would answer now. default_instruction: empty if it takes none. created: Unix seconds. template_tokens: tokens of a
    row besides those of its query and document; 0 for an embedding model. calibration: what gives its probabilities,
    None for its own. then: the id of the model that scores the `band` best of this one's.
    """

    id: str
    repository: str
    owner: str
    description: str
    licence: str | None
    config: ModelConfig
    max_length: int
    precision: str
    backend: str
    default_instruction: str
    aliases: tuple[str, ...]
    price: Decimal | None
    task: str
    created: int
    is_ready: Callable[[], bool]
    template_tokens: int = 0
    calibration: Calibration | None = None
    then: str | None = None
    band: int | None = None

    @classmethod
    def of(cls, served: ServedReranker | ServedEmbedder) -> ServedModel:
        """What there is to read about a model."""
        model = served.reranker if isinstance(served, ServedReranker) else served.embedder
        source = served.settings.source
        is_local = _is_local(source)
        facts = None if is_local else known(source)
        return cls(
            id=served.id,
            repository=f"path/to/{Path(source).name}" if is_local else source,
            owner="local" if is_local else source.split("/")[0],
            description=facts.summary if facts else "",
            licence=facts.licence if facts else None,
            config=model.config,
            max_length=model.tokens.max_length,
            precision=model.options.precision,
            backend=model.options.backend,
            default_instruction=model.default_instruction or "" if isinstance(model, Reranker) else "",
            aliases=served.settings.aliases,
            price=served.settings.price,
            task=RERANKING if isinstance(model, Reranker) else EMBEDDING,
            created=served.created,
            is_ready=served.is_ready,
            template_tokens=_template_tokens(model) if isinstance(model, Reranker) else 0,
            calibration=served.judge.calibration if isinstance(served, ServedReranker) else None,
            then=served.settings.then,
            band=served.settings.band,
        )

    @property
    def ranks(self) -> bool:
        """Whether it is a reranker."""
        return self.task == RERANKING


def _template_tokens(reranker: Reranker) -> int:
    [row] = reranker.rows(["query"], ["document"])
    return len(row.ids) - row.receipt.query_tokens - row.receipt.document_tokens


def _is_local(source: str) -> bool:
    """Whether a model comes from a file or folder of this machine, whose place clients need not know."""
    path = Path(source).expanduser()
    return not is_bundled(source) and (path.exists() or path.is_absolute())
