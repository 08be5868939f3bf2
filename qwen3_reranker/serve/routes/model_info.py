"""Replies about models: one object for clients of OpenAI, Cohere and OpenRouter, and TEI's /info."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qwen3_reranker.serve.accounts.prices import per_token
from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonOptional, JsonValue
from qwen3_reranker.serve.dialects.tei import LABEL
from qwen3_reranker.serve.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The default reranker, and the limits of the server."""

    model: ServedModel
    version: str
    max_documents: int
    max_batch_tokens: int
    max_concurrent_requests: int
    tokenizer_threads: int = 1


def _output(model: ServedModel) -> str:
    """The output modality, as OpenRouter names it."""
    return "rerank" if model.ranks else "embeddings"


# The main fields of requests.
_RERANKING_FIELDS, _EMBEDDING_FIELDS = ["instruction", "top_n", "return_documents"], ["dimensions"]
_ID = JsonValue(str, lambda model: model.id)
_TASKS = JsonValue(list[str], lambda model: ["rerank" if model.ranks else "embed"])
_CONTEXT_LENGTH = JsonValue(int, lambda model: model.max_length)
#: `name` is the id, because Cohere's clients send it as `model`.
MODEL = JsonObject(
    "Model",
    "A model as OpenAI's, Cohere's and OpenRouter's clients read it.",
    id=_ID,
    object="model",
    created=JsonValue(int, lambda model: model.created),
    owned_by=JsonValue(str, lambda model: model.owner),
    name=_ID,
    canonical_slug=_ID,
    description=JsonValue(str, lambda model: model.description),
    endpoints=_TASKS,
    default_endpoints=_TASKS,
    is_deprecated=False,
    finetuned=False,
    features=JsonValue(list[str], lambda model: []),
    context_length=_CONTEXT_LENGTH,
    architecture=JsonObject(
        "Architecture",
        "What goes in and comes out, in OpenRouter's names.",
        modality=JsonValue(str, lambda model: f"text->{_output(model)}"),
        input_modalities=JsonValue(list[str], lambda model: ["text"]),
        output_modalities=JsonValue(list[str], lambda model: [_output(model)]),
        tokenizer="Qwen",
        instruct_type=None,
    ),
    pricing=JsonObject(
        "Pricing",
        "US dollars as decimal strings, a token and a request.",
        prompt=JsonValue(str, lambda model: "0" if model.price is None else per_token(model.price)),
        completion="0",
        request="0",
    ),
    top_provider=JsonObject(
        "Provider",
        "Limits of this server.",
        context_length=_CONTEXT_LENGTH,
        max_completion_tokens=None,
        is_moderated=False,
    ),
    per_request_limits=None,
    supported_parameters=JsonValue(list[str], lambda model: _RERANKING_FIELDS if model.ranks else _EMBEDDING_FIELDS),
    aliases=JsonValue(list[str], lambda model: list(model.aliases)),
    parameters=JsonValue(int | None, lambda model: model.config.num_parameters),
    licence=JsonValue(str | None, lambda model: model.licence),
    precision=JsonValue(str, lambda model: model.precision),
    cascade=JsonOptional(
        lambda model: model.then is not None,
        JsonObject(
            "ModelCascade",
            "The model whose scores clients get. It scores the `band` best documents of this one, of a request for no "
            "more results; null: three times the results. Other requests it scores alone.",
            then=JsonValue(str, lambda model: model.then),
            band=JsonValue(int | None, lambda model: model.band),
        ),
    ),
    calibration=JsonOptional(
        lambda model: model.calibration is not None,
        JsonObject(
            "ModelCalibration",
            "What gives the probabilities of this model. instructions: those that it holds for, null for any; data: "
            "what it was fitted on; measured: its errors on queries that were held out; thresholds: values of "
            "min_probability from which the best result is right in a share of `precision`.",
            fingerprint=JsonValue(str, lambda model: model.calibration.fingerprint),
            method=JsonValue(str, lambda model: model.calibration.map.method),
            instructions=JsonValue(list[str | None] | None, lambda model: model.calibration.instructions),
            data=JsonValue(dict[str, Any], lambda model: model.calibration.data),
            measured=JsonValue(dict[str, Any], lambda model: model.calibration.measured),
            thresholds=JsonValue(list[dict[str, Any]], lambda model: list(model.calibration.thresholds)),
        ),
    ),
)
_MODELS = JsonArray(MODEL, lambda infos: infos)
MODEL_LIST = JsonObject(
    "Models",
    "The models, under OpenAI's and OpenRouter's name and under Cohere's.",
    object="list",
    data=_MODELS,
    models=_MODELS,
    next_page_token=None,
)
_SERVED_ID = JsonValue(str, lambda server: server.model.id)
_ABSENT = JsonValue(str | None, lambda server: None)
#: Dify reads the first key of model_type, max_input_length and max_client_batch_size.
TEI_INFO = JsonObject(
    "TEIInfo",
    "TEI's /info.",
    model_id=_SERVED_ID,
    model_sha=_ABSENT,
    model_dtype=JsonValue(str, lambda server: server.model.precision),
    served_model_name=_SERVED_ID,
    model_type=JsonObject(
        "ModelType",
        "Rerankers have one label.",
        reranker=JsonObject(
            "RerankerType",
            "The one label of a reranker.",
            id2label=JsonValue(dict[str, str], lambda server: {"0": LABEL}),
            label2id=JsonValue(dict[str, int], lambda server: {LABEL: 0}),
        ),
    ),
    max_concurrent_requests=JsonValue(int, lambda server: server.max_concurrent_requests),
    max_input_length=JsonValue(int, lambda server: server.model.max_length),
    max_batch_tokens=JsonValue(int, lambda server: server.max_batch_tokens),
    max_batch_requests=JsonValue(int | None, lambda server: None),
    max_client_batch_size=JsonValue(int, lambda server: server.max_documents),
    auto_truncate=True,
    tokenization_workers=JsonValue(int, lambda server: server.tokenizer_threads),
    version=JsonValue(str, lambda server: server.version),
    sha=_ABSENT,
    docker_label=_ABSENT,
)
