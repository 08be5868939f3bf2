"""What clients ask about models: one object for OpenAI's, Cohere's and OpenRouter's, and TEI's /info."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from typing_extensions import TypedDict

from qwen3_reranker.serve.dialects.tei import LABEL


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as a catalogue shows it.

    id: the name under which it is served; aliases: other names that are understood. created: Unix seconds.
    context_length: tokens of a whole row. price: US dollars a token as an exact decimal, None for no price.
    parameters: their number. licence: an SPDX name. precision: how it computes, such as "float32".
    """

    id: str
    created: int
    owned_by: str
    context_length: int
    task: Literal["rerank", "embed"] = "rerank"
    price: str | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""
    parameters: int | None = None
    licence: str | None = None
    precision: str = "float32"


class Architecture(TypedDict):
    """What goes in and comes out, as OpenRouter names it."""

    modality: str
    input_modalities: list[str]
    output_modalities: list[str]
    tokenizer: str
    instruct_type: None


class Pricing(TypedDict):
    """US dollars as decimal strings, a token and a request."""

    prompt: str
    completion: str
    request: str


class Provider(TypedDict):
    """Limits of who serves it."""

    context_length: int
    max_completion_tokens: None
    is_moderated: bool


class Model(TypedDict):
    """A model as OpenAI's, Cohere's and OpenRouter's clients read it."""

    id: str
    object: str
    created: int
    owned_by: str
    name: str
    canonical_slug: str
    description: str
    endpoints: list[str]
    default_endpoints: list[str]
    is_deprecated: bool
    finetuned: bool
    features: list[str]
    context_length: int
    architecture: Architecture
    pricing: Pricing
    top_provider: Provider
    per_request_limits: None
    supported_parameters: list[str]
    aliases: list[str]
    parameters: int | None
    licence: str | None
    precision: str


class Models(TypedDict):
    """The models, under OpenAI's and OpenRouter's name and under Cohere's."""

    object: str
    data: list[Model]
    models: list[Model]
    next_page_token: None


class RerankerType(TypedDict):
    """The one label of a reranker."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class TEIInfo(TypedDict):
    """TEI's /info."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: dict[str, RerankerType]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None


def model_object(facts: ModelFacts) -> Model:
    """One model; its `name` is its id, as Cohere's clients send that as `model`."""
    parameters = ["instruction", "top_n", "return_documents"] if facts.task == "rerank" else ["dimensions"]
    output = "rerank" if facts.task == "rerank" else "embeddings"
    return {
        "id": facts.id,
        "object": "model",
        "created": facts.created,
        "owned_by": facts.owned_by,
        "name": facts.id,
        "canonical_slug": facts.id,
        "description": facts.description,
        "endpoints": [facts.task],
        "default_endpoints": [facts.task],
        "is_deprecated": False,
        "finetuned": False,
        "features": [],
        "context_length": facts.context_length,
        "architecture": {
            "modality": f"text->{output}",
            "input_modalities": ["text"],
            "output_modalities": [output],
            "tokenizer": "Qwen",
            "instruct_type": None,
        },
        "pricing": {"prompt": facts.price or "0", "completion": "0", "request": "0"},
        "top_provider": {
            "context_length": facts.context_length,
            "max_completion_tokens": None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": parameters,
        "aliases": list(facts.aliases),
        "parameters": facts.parameters,
        "licence": facts.licence,
        "precision": facts.precision,
    }


def model_list(models: Sequence[ModelFacts]) -> Models:
    """All models, in their order."""
    listed = [model_object(facts) for facts in models]
    return {"object": "list", "data": listed, "models": listed, "next_page_token": None}


def tei_info(
    facts: ModelFacts,
    *,
    version: str,
    max_documents: int,
    max_batch_tokens: int,
    max_concurrent_requests: int,
    tokenisation_workers: int = 1,
) -> TEIInfo:
    """/info of one reranker; Dify reads the first key of model_type, max_input_length and max_client_batch_size."""
    return {
        "model_id": facts.id,
        "model_sha": None,
        "model_dtype": facts.precision,
        "served_model_name": facts.id,
        "model_type": {"reranker": {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}}},
        "max_concurrent_requests": max_concurrent_requests,
        "max_input_length": facts.context_length,
        "max_batch_tokens": max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": max_documents,
        "auto_truncate": True,
        "tokenization_workers": tokenisation_workers,
        "version": version,
        "sha": None,
        "docker_label": None,
    }
