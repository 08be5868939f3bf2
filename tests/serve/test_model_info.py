"""What clients of OpenAI's, Cohere's, OpenRouter's and TEI's find about models."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx2
from pydantic import TypeAdapter

from qwen3_reranker.model_facts import EMBEDDING, NANO, RERANKING
from qwen3_reranker.serve.dialects.base import fill
from qwen3_reranker.serve.routes.model_info import MODEL, MODEL_LIST, TEI_INFO, ServerInfo
from qwen3_reranker.serve.served_model import ServedModel
from testing.live_server import live_server

SERVED = ServedModel(
    id="nano",
    repository="us/nano",
    owner="us",
    description="A small one.",
    licence="Apache-2.0",
    config=NANO.config,
    max_length=8192,
    precision="float32",
    backend="cpu",
    default_instruction="",
    aliases=("small",),
    price=Decimal("0.1"),
    task=RERANKING,
    created=1_700_000_000,
    is_ready=lambda: True,
)


def test_one_list_serves_openai_cohere_and_openrouter() -> None:
    listed = fill(MODEL_LIST, [SERVED])
    TypeAdapter(MODEL_LIST.type).validate_python(listed, strict=True)
    assert listed["data"] == listed["models"] == [fill(MODEL, SERVED)]
    model = listed["data"][0]
    assert (model["id"], model["object"], model["created"], model["owned_by"]) == ("nano", "model", 1_700_000_000, "us")
    assert (model["description"], model["licence"]) == ("A small one.", "Apache-2.0")
    assert (model["name"], model["endpoints"], model["context_length"]) == ("nano", ["rerank"], 8192)
    assert model["pricing"] == {"prompt": "0.0000001", "completion": "0", "request": "0"}
    assert model["architecture"]["modality"] == "text->rerank"


def test_an_embedding_model_is_listed_as_one() -> None:
    model = fill(MODEL, replace(SERVED, task=EMBEDDING, price=None))
    assert (model["endpoints"], model["architecture"]["output_modalities"]) == (["embed"], ["embeddings"])
    assert model["pricing"]["prompt"] == "0"


def test_info_holds_what_dify_reads() -> None:
    info = fill(TEI_INFO, ServerInfo(SERVED, "1", 1000, max_batch_tokens=16384, max_concurrent_requests=256))
    TypeAdapter(TEI_INFO.type).validate_python(info, strict=True)
    assert list(info["model_type"]) == ["reranker"]
    assert (info["max_input_length"], info["max_client_batch_size"]) == (8192, 1000)


def test_a_known_model_says_what_is_published_of_it_and_a_folder_says_only_that_it_is_local(
    small_checkpoint: Path,
) -> None:
    models = [{"source": "nano"}, {"source": str(small_checkpoint), "id": "mine"}]
    with live_server(models=models) as live:
        nano, mine = httpx2.get(f"{live.url}/v1/models").json()["data"]
    assert (nano["description"], nano["licence"], nano["owned_by"]) == (NANO.summary, NANO.licence, "nano")
    assert (mine["description"], mine["licence"], mine["owned_by"]) == ("", None, "local")
    assert str(small_checkpoint) not in str(mine)
