"""Vectors of length 1 that depend on nothing but their text, in the published format; and the errors of callers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import CheckpointError, Embedder, InputError, QueryTooLongError, Reranker
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.convert import convert
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_small_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import write_embedding_model
from testing.texts import documents
from testing.tokenizer import SMALL_WORDS

END_OF_TEXT, THINK = SMALL_WORDS, SMALL_WORDS + 24
INSTRUCTION = "Given a question, retrieve code that answers it"
TEXTS = documents(3, 12, 80)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network behind a tokenizer of few words, which loads sooner than Qwen's and splits text like it."""
    return write_small_checkpoint(tmp_path_factory.mktemp("base"), hidden_size=64, initializer_range=0.12, seed=1)


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedding_model(tmp_path_factory.mktemp("embedding"), base)


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    return Embedder(folder)


def least_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The cosine of the pair of rows that agree least."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / lengths).min())


def ids(embedder: Embedder, text: str, role: str, instruction: str | None = None) -> list[int]:
    [row] = embedder._rows([text], role, instruction)
    return row.ids.tolist()


def test_rows_are_vectors_of_length_one_in_input_order(embedder: Embedder) -> None:
    vectors = embedder.documents(TEXTS)
    assert (vectors.dtype, vectors.shape) == (np.float32, (len(TEXTS), 64))
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    np.testing.assert_array_equal(embedder.documents(TEXTS[::-1])[::-1], vectors)
    assert np.sort((vectors @ vectors.T)[np.triu_indices(len(TEXTS), 1)])[0] < 0.9, (
        "vectors so alike would prove little"
    )


@pytest.mark.parametrize(("role", "instruction"), [("document", None), ("query", None), ("query", INSTRUCTION)])
def test_tokens_are_counted_as_embedding_counts_them(embedder: Embedder, role: str, instruction: str | None) -> None:
    embedded = embedder.embed(TEXTS, role=role, instruction=instruction)
    rows = embedder.rows(TEXTS, role=role, instruction=instruction)
    assert sum(len(row.ids) for row in rows) == embedded.usage.prompt_tokens
    assert np.array_equal(run_all(embedder.judge(rows)), embedded.vectors)


def test_texts_may_be_records_and_arrays(embedder: Embedder) -> None:
    texts = ["a text", "another"]
    expected = embedder.documents(texts)
    assert np.array_equal(embedder.documents([{"body": text} for text in texts], key="body"), expected)
    assert np.array_equal(embedder.documents(iter(texts)), expected)
    assert np.array_equal(embedder.queries(np.array(texts)), embedder.queries(texts))


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.documents([]).shape == (0, 64)
    assert embedder.queries([]).shape == (0, 64)


def test_a_query_stands_behind_its_instruction_without_a_space_and_a_document_stands_alone(
    embedder: Embedder, folder: Path
) -> None:
    from tokenizers import Tokenizer

    published = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        written = f"Instruct: {INSTRUCTION}\nQuery:{text}"
        assert ids(embedder, text, "query", INSTRUCTION) == published.encode(written).ids
        assert ids(embedder, text, "document") == published.encode(text).ids
        assert ids(embedder, text, "document")[-1] == END_OF_TEXT
    card = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    assert embedder.query_prompt == card
    assert ids(embedder, "x", "query") == published.encode(f"{card}x").ids


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8", "int8x2"])
def test_neighbours_order_splitting_and_caching_do_not_move_a_bit(folder: Path, precision: str) -> None:
    texts = documents(4, 16, 120)
    with Embedder(folder, precision=precision) as embedder:
        vectors = embedder.queries(texts)
        cached = embedder.queries(texts)
        backwards = embedder.queries(texts[::-1])[::-1]
        alone = np.concatenate([embedder.queries([text]) for text in texts])
    options: dict[str, Any] = {"max_batch_tokens": 50, "min_shared_tokens": 1, "prefix_cache_tokens": 0}
    with Embedder(folder, precision=precision, num_threads=1, **options) as embedder:
        split = embedder.queries(texts)
    for other in (cached, backwards, alone, split):
        np.testing.assert_array_equal(other, vectors)


@pytest.fixture(scope="module")
def specified(folder: Path) -> np.ndarray:
    with Embedder(folder, backend="reference", precision="float64") as specification:
        return specification.queries(TEXTS)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 1e-10),
        ({"backend": "reference"}, 1e-10),
        ({"precision": "bfloat16"}, 1e-4),
        ({"precision": "int8x2"}, 1e-3),
        ({"precision": "int8"}, 1e-3),
    ],
    ids=str,
)
def test_every_engine_gives_the_vectors_of_the_specification(
    folder: Path, specified: np.ndarray, options: dict[str, Any], most: float
) -> None:
    with Embedder(folder, **options) as embedder:
        assert 1 - least_cosine(embedder.queries(TEXTS), specified) < most


@pytest.mark.parametrize("dim", [32, 33, 63, 64])
def test_a_smaller_dim_is_the_beginning_of_the_whole_at_length_one(folder: Path, embedder: Embedder, dim: int) -> None:
    with Embedder(folder, dim=dim) as cut:
        vectors = cut.documents(TEXTS)
    assert (cut.dim, vectors.shape[1]) == (dim, dim)
    whole = embedder.documents(TEXTS).astype(np.float64)[:, :dim]
    np.testing.assert_allclose(vectors, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-6)


def test_the_instruction_is_computed_once_and_remembered(folder: Path) -> None:
    with Embedder(folder) as embedder:
        shared = len(ids(embedder, "", "query")) - 2  # less the colon and the end of the text
        first = embedder.embed(["what is red", "which is blue"], role="query").usage
        again = embedder.embed(["who is green"], role="query").usage
    assert first.cached_tokens == 0
    assert first.computed_tokens == first.prompt_tokens - shared
    assert (again.cached_tokens, again.computed_tokens) == (shared, again.prompt_tokens - shared)


def test_the_tail_of_a_long_text_is_cut_and_leaves_a_receipt(folder: Path, embedder: Embedder) -> None:
    long = TEXTS[1]
    whole = ids(embedder, long, "query")
    with Embedder(folder, max_length=50) as short:
        assert ids(short, long, "query") == [*whole[:49], END_OF_TEXT]
        embedded = short.embed(["short", long], role="query")
    brief, cut = embedded.receipts
    assert (brief.truncated, cut.truncated) == (False, True)
    assert (cut.tokens, cut.kept_tokens) == (len(whole) - 1, 49)
    assert brief.tokens == brief.kept_tokens == len(ids(embedder, "short", "query")) - 1
    assert embedded.usage.truncated_documents == 1


def test_text_of_users_becomes_control_tokens_only_if_asked_for(folder: Path, embedder: Embedder) -> None:
    assert THINK not in ids(embedder, "<think>", "document")
    assert ids(embedder, "<|endoftext|>", "document").count(END_OF_TEXT) == 1
    with Embedder(folder, special_tokens="parse") as parsing:
        assert ids(parsing, "<think>", "document") == [THINK, END_OF_TEXT]


def test_control_tokens_without_a_word_vector_do_no_harm_until_text_holds_one(tmp_path: Path) -> None:
    base = write_small_checkpoint(tmp_path / "base", vocab_size=THINK)
    folder = write_embedding_model(tmp_path / "embedding", base)
    with Embedder(folder) as embedder:
        assert embedder.documents(["<think>"]).shape == (1, 32)
    with Embedder(folder, special_tokens="parse") as parsing:
        with pytest.raises(InputError, match=rf"texts\[1\] holds control token {THINK}, .* beyond {THINK - 1}"):
            parsing.documents(["a", "<think>"])
        assert parsing.documents(["<|im_end|>"]).shape == (1, 32)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    base = write_small_checkpoint(tmp_path / "base", vocab_size=END_OF_TEXT)
    folder = write_embedding_model(tmp_path / "embedding", base)
    with pytest.raises(CheckpointError, match="has 1025 entries, but the network embeds only 1024"):
        Embedder(folder)


@pytest.mark.parametrize(
    "before", ["Instruct: Find it\nQuery:", "Instruct: Find it\nQuery: ", "query:", "", "ends with a word"]
)
def test_stored_prompts_stand_before_texts_and_an_instruction_takes_the_place_of_a_querys(
    base: Path, tmp_path: Path, embedder: Embedder, before: str
) -> None:
    folder = write_embedding_model(tmp_path, base, prompts={"query": before, "document": "title: none | "})
    text = "who wrote this"
    with Embedder(folder) as own:
        assert (own.query_prompt, own.document_prompt) == (before, "title: none | ")
        assert ids(own, text, "query") == ids(embedder, before + text, "document")
        assert ids(own, text, "document") == ids(embedder, "title: none | " + text, "document")
        assert ids(own, text, "query", INSTRUCTION) == ids(embedder, text, "query", INSTRUCTION)


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0"])
def test_a_gguf_file_gives_the_vectors_of_its_folder(base: Path, tmp_path: Path, embedder: Embedder, kind: str) -> None:
    shape = {"intermediate_size": 64, "num_attention_heads": 4, "head_dim": 16}
    whole = write_small_checkpoint(tmp_path / "base", hidden_size=64, initializer_range=0.12, **shape)
    path = write_gguf(tmp_path / "x.gguf", whole, kind=kind, labels=None, fields={"qwen3.pooling_type": 3})
    with Embedder(write_embedding_model(tmp_path / "embedding", whole)) as from_folder:
        expected = from_folder.queries(TEXTS)
    with Embedder(path) as from_file:
        vectors = from_file.queries(TEXTS)
    if kind == "F32":
        np.testing.assert_array_equal(vectors, expected)
    else:
        assert 1e-9 < 1 - least_cosine(vectors, expected) < 1e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda embedder: embedder.queries("a"), "texts must be a list of strings or records, got str"),
        (lambda embedder: embedder.documents(None), "texts must be a list of strings or records, got NoneType"),
        (lambda embedder: embedder.documents(["a", 3]), r"texts\[1\] must be a string or a record, got int"),
        (lambda embedder: embedder.queries(["a"], 3), "instruction must be a string or None, got int"),
        (
            lambda embedder: embedder.embed(["a"], role="passage"),
            "unknown role 'passage': expected one of query, document",
        ),
        (lambda embedder: embedder.embed(["a"], role="document", instruction="x"), "a document takes no instruction"),
        (lambda embedder: embedder.documents(["a\ud800"]), "not valid Unicode"),
    ],
)
def test_wrong_arguments_are_typed_errors_that_say_what_came(embedder: Embedder, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(embedder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 31}, "dim must be a whole number of 32 to 64"),
        ({"dim": 65}, "dim must be a whole number of 32 to 64"),
        ({"prompt": "card-vllm"}, "prompt is an option of a Reranker"),
        ({"truncate_queries": True}, "truncate_queries is an option of a Reranker"),
        ({"precision": "int4"}, "unknown precision 'int4'"),
        ({"plan_only": True}, "plan_only"),
        ({"max_length": 1}, "max_length=1 leaves no room"),
        ({"max_length": 50_000}, "more than the model's 40960 positions"),
    ],
)
def test_wrong_options_are_typed_errors(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Embedder(folder, **options)


def test_an_instruction_that_alone_does_not_fit_says_what_to_do(folder: Path) -> None:
    with (
        Embedder(folder, max_length=20) as embedder,
        pytest.raises(QueryTooLongError, match=r"instruction alone take \d+; .* at least \d+ tokens \(max_length\)"),
    ):
        embedder.queries(["a"], "word " * 30)


def test_a_judge_is_no_embedding_model_and_an_embedding_model_no_judge(
    base: Path, folder: Path, tmp_path: Path
) -> None:
    for judge in ("nano", str(base)):
        with pytest.raises(CheckpointError, match=r"causal-lm checkpoint with a head that judges.*Qwen3-Embedding"):
            Embedder(judge)
    said = "an embedding model, which has no yes/no head; embed texts with Embedder"
    with pytest.raises(CheckpointError, match=said):
        Reranker(folder)
    with pytest.raises(CheckpointError, match=said):
        convert(open_checkpoint(folder), tmp_path / "x.gguf", "gguf")
    assert list(tmp_path.iterdir()) == []


def test_threads_share_an_embedder_and_get_their_own_vectors(embedder: Embedder) -> None:
    texts = [documents(seed, 6, 30) for seed in range(4)]
    expected = [embedder.documents(some) for some in texts]
    results: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        results[number] = embedder.documents(texts[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vectors in enumerate(expected):
        np.testing.assert_array_equal(results[number], vectors)


def test_closed_or_used_from_its_own_progress_it_says_so(folder: Path) -> None:
    shares: list[float] = []
    with Embedder(folder) as embedder:
        embedder.documents(TEXTS, on_progress=shares.append)
        with pytest.raises(InputError, match="this Embedder cannot be used from inside its own on_progress"):
            embedder.documents(["a"], on_progress=lambda _: embedder.queries(["b"]) and None)
    assert shares[-1] == 1
    with pytest.raises(InputError, match="this Embedder is closed"):
        embedder.documents(["a"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda embedder: embedder.documents(["a", "bc\ud800"]), r"texts\[1\]: not valid Unicode: .* at character 2"),
        (
            lambda embedder: embedder.rows(["\udfff"], role="query"),
            r"texts\[0\]: not valid .* at character 0",
        ),
        (lambda embedder: embedder.queries(["a"], "b\ud800"), "instruction: not valid Unicode: .* at character 1"),
    ],
)
def test_a_lone_surrogate_is_found_by_text_and_character(folder: Path, call: Any, message: str) -> None:
    with Embedder(folder) as embedder, pytest.raises(InputError, match=f"^{message}$"):
        call(embedder)
