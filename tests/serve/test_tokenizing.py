"""/tokenize and /detokenize: the tokens that the model reads, in the words of vLLM, llama.cpp, Cohere and TEI."""

from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.serve.dialects.tokenizing import MAX_CHARACTERS
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from testing.live_server import Live, live_server

TEXT = "git revert makes 日本 <|im_end|> a commit"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory):
    base = write_small_checkpoint(tmp_path_factory.mktemp("base"))
    folder: Path = write_embedding_model(tmp_path_factory.mktemp("embedding"), base)
    with live_server(models=[{"source": "nano"}, {"source": str(folder), "id": "e", "kind": "embedder"}]) as running:
        yield running


def post(live: Live, path: str, **fields: object) -> httpx2.Response:
    return httpx2.post(f"{live.url}{path}", json=fields)


@pytest.mark.parametrize("path", ["/tokenize", "/v1/tokenize", "/tei/tokenize"])
def test_every_form_gives_the_tokens_that_the_model_reads(live: Live, path: str) -> None:
    [served] = live.application.context.models.rerankers
    [ids] = served.reranker.tokens.text_encoder.encode([TEXT])
    for name in ("prompt", "text", "content"):
        found = post(live, path, **{name: TEXT}).json()
        assert found["tokens"] == ids.tolist()
        assert (found["count"], found["max_model_len"]) == (len(ids), served.reranker.tokens.max_length)
        assert found["token_strs"] == found["token_strings"]
    [once, again] = post(live, path, inputs=[TEXT, TEXT]).json()
    assert once == again
    assert [token["id"] for token in once] == ids.tolist()
    assert all(token["text"] == TEXT[token["start"] : token["stop"]] for token in once)
    # Text that looks like a control token is none.
    assert not any(token["special"] for token in once)


def test_an_embedders_text_ends_with_its_token_unless_it_is_declined(live: Live) -> None:
    [with_end] = post(live, "/tokenize", model="e", inputs="a").json()
    [without] = post(live, "/tokenize", model="e", inputs="a", add_special_tokens=False).json()
    assert with_end[:-1] == without
    assert (with_end[-1]["text"], with_end[-1]["special"]) == ("<|endoftext|>", True)


@pytest.mark.parametrize("path", ["/detokenize", "/v1/detokenize"])
def test_tokens_become_the_text_again(live: Live, path: str) -> None:
    ids = post(live, "/tokenize", prompt=TEXT).json()["tokens"]
    assert post(live, path, tokens=ids).json() == {"prompt": TEXT, "text": TEXT, "content": TEXT}
    assert post(live, path, tokens=[]).json()["text"] == ""
    [served] = live.application.context.models.rerankers
    end = served.reranker.tokens.control_ids["<|im_end|>"]
    assert post(live, path, tokens=[*ids, end]).json()["text"] == f"{TEXT}<|im_end|>"


@pytest.mark.parametrize(
    ("path", "fields", "parameter"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"inputs": [1]}, "inputs"),
        ("/tokenize", {"prompt": "a" * (MAX_CHARACTERS + 1)}, "prompt"),
        ("/detokenize", {"tokens": ["a"]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [1 << 40]}, "tokens"),
        ("/detokenize", {"tokens": [(1 << 31) - 1]}, "tokens"),
    ],
)
def test_what_is_no_text_or_no_token_is_400_with_its_place(
    live: Live, path: str, fields: dict[str, object], parameter: str
) -> None:
    refused = post(live, path, **fields)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, parameter)


def test_an_unknown_model_is_404(live: Live) -> None:
    assert post(live, "/tokenize", prompt="a", model="another").status_code == 404
