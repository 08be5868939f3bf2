"""CrossEncoder does what sentence-transformers' class does with the same folder: scores, shapes, types and errors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
from datasets import Dataset
from mteb.models import CrossEncoderWrapper
from sentence_transformers.cross_encoder import evaluation

from qwen3_reranker.compat import CrossEncoder
from testing.texts import documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The `max_length` property was renamed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]

TOLERANCE = 1e-4
QUERY = "take back my last commit"
TEXTS = documents(5, 8, 40)
PAIRS = [(QUERY, text) for text in TEXTS] + [("wie lange kocht Reis", TEXTS[0])]
Both = tuple[Any, Any]


@pytest.fixture(scope="module", params=["encoder_folder", "published_folder"], ids=["CrossEncoder", "Qwen3-Reranker"])
def both(request: pytest.FixtureRequest) -> Both:
    """Theirs and ours of one folder."""
    return opened(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def one(encoder_folder: Path) -> Both:
    """Theirs and ours of the CrossEncoder's layout alone, with prompts."""
    return opened(encoder_folder, prompts={"code": "Find the command", "none": ""}, activation_fn=torch.nn.Sigmoid())


def opened(folder: Path, **options: Any) -> Both:
    theirs = sentence_transformers.CrossEncoder(
        str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, **options
    )
    return theirs, CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, **options)


# Every row of what was seen of sentence-transformers 6.2: a call, of which values, types and shapes must be equal.
CALLS: dict[str, Callable[[Any], Any]] = {
    "tuples": lambda model: model.predict(PAIRS),
    "lists": lambda model: model.predict([list(pair) for pair in PAIRS]),
    "array": lambda model: model.predict(np.array(PAIRS)),
    "array of objects": lambda model: model.predict(np.array(PAIRS, dtype=object)),
    "column": lambda model: model.predict(Dataset.from_dict({"pair": [list(pair) for pair in PAIRS]})["pair"]),
    "one tuple": lambda model: model.predict(PAIRS[0]),
    "one list": lambda model: model.predict(list(PAIRS[0])),
    "one array": lambda model: model.predict(np.array(PAIRS[0])),
    "one in a list": lambda model: model.predict([PAIRS[0]]),
    "one as a tensor": lambda model: model.predict(PAIRS[0], convert_to_tensor=True),
    "none": lambda model: model.predict([]),
    "none in an array": lambda model: model.predict(np.array([], dtype=object)),
    "none as a tensor": lambda model: model.predict([], convert_to_tensor=True),
    "none as a list": lambda model: model.predict([], convert_to_numpy=False),
    "tensor": lambda model: model.predict(PAIRS, convert_to_tensor=True),
    "tensor and array": lambda model: model.predict(PAIRS, convert_to_tensor=True, convert_to_numpy=True),
    "list of tensors": lambda model: model.predict(PAIRS, convert_to_numpy=False),
    "softmax over one label": lambda model: model.predict(PAIRS, apply_softmax=True),
    "batches of two": lambda model: model.predict(PAIRS, batch_size=2),
    "with a bar": lambda model: model.predict(PAIRS, show_progress_bar=True),
    "on its device": lambda model: model.predict(PAIRS, device="cpu"),
    "identity": lambda model: model.predict(PAIRS, activation_fn=torch.nn.Identity()),
    "sigmoid": lambda model: model.predict(PAIRS, activation_fn=torch.nn.Sigmoid()),
    "tanh": lambda model: model.predict(PAIRS, activation_fn=torch.nn.Tanh()),
    "a function": lambda model: model.predict(PAIRS, activation_fn=lambda scores: torch.sigmoid(scores) * 10),
    "torch.sigmoid": lambda model: model.predict(PAIRS, activation_fn=torch.sigmoid),
    "old spellings": lambda model: model.predict(sentences=PAIRS, activation_fct=torch.nn.Identity(), num_workers=2),
    "prompt": lambda model: model.predict(PAIRS, prompt="Find the command"),
    "prompt by name": lambda model: model.predict(PAIRS, prompt_name="code"),
    "no prompt": lambda model: model.predict(PAIRS, prompt=""),
    "both prompts": lambda model: model.predict(PAIRS, prompt="Find the command", prompt_name="nope"),
    "rank": lambda model: model.rank(QUERY, TEXTS),
    "rank with texts": lambda model: model.rank(QUERY, TEXTS, return_documents=True),
    "rank of a tuple": lambda model: model.rank(QUERY, tuple(TEXTS), top_k=3),
    "rank of none": lambda model: model.rank(QUERY, []),
    "best none": lambda model: model.rank(QUERY, TEXTS, top_k=0),
    "all but the worst": lambda model: model.rank(QUERY, TEXTS, top_k=-1),
    "more than there are": lambda model: model.rank(QUERY, TEXTS, top_k=100),
    "ties": lambda model: model.rank(QUERY, [TEXTS[0], TEXTS[1], TEXTS[0]]),
    "rank with old spellings": lambda model: model.rank(
        QUERY, TEXTS, convert_to_numpy=True, convert_to_tensor=False, apply_softmax=False, num_workers=0
    ),
    "rank as Haystack does": lambda model: model.rank(
        query=QUERY,
        documents=TEXTS,
        batch_size=16,
        activation_fn=torch.nn.Identity(),
        convert_to_numpy=True,
        return_documents=False,
    ),
    "labels": lambda model: model.num_labels,
    "is it one": lambda model: [model.is_singular_input(each) for each in (PAIRS, PAIRS[0], [], np.array(PAIRS))],
    "modalities": lambda model: (model.supports("text"), model.supports("image"), model.get_backend()),
    "prompts": lambda model: (model.prompts, model.default_prompt_name),
    "device": lambda model: (model.device.type, str(model.device), str(model.to("cpu").cpu().eval().device)),
    "network": lambda model: (model.config.hidden_size, model.config.num_hidden_layers),
    "tokens": lambda model: model.tokenizer(QUERY)["input_ids"],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_returns_what_theirs_returns(call: Callable[[Any], Any], one: Both) -> None:
    assert_same(*(call(model) for model in one))


@pytest.mark.parametrize("name", ["tuples", "identity", "sigmoid", "rank", "prompt", "no prompt"])
def test_defaults_of_a_folder_are_theirs(name: str, both: Both) -> None:
    assert_same(*(CALLS[name](model) for model in both))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "generator": lambda model: model.predict(pair for pair in PAIRS),
    "no document": lambda model: model.predict([(QUERY, None)]),
    "three texts": lambda model: model.predict([(QUERY, "a", "b")]),
    "unknown prompt": lambda model: model.predict(PAIRS, prompt_name="nope"),
    "no batch": lambda model: model.predict(PAIRS, batch_size=0),
    "no batch of a ranking": lambda model: model.rank(QUERY, TEXTS, batch_size=0),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_theirs_refuses_is_a_value_error_here_too(call: Callable[[Any], Any], one: Both) -> None:
    for model in one:
        with pytest.raises(ValueError, match=r"\w"):
            call(model)


def test_every_public_argument_of_theirs_is_an_argument_here() -> None:
    for name in ("__init__", "predict", "rank", "save_pretrained", "save", "evaluate"):
        theirs = inspect.signature(getattr(sentence_transformers.CrossEncoder, name)).parameters
        ours = inspect.signature(getattr(CrossEncoder, name)).parameters
        assert set(theirs) - {"kwargs"} <= set(ours), name
        # The model's name alone is optional there and needed here.
        defaults = {each: ours[each].default for each in theirs if each not in ("kwargs", "model_name_or_path")}
        assert defaults == {each: theirs[each].default for each in defaults}, name


def test_the_prompts_and_the_activation_of_a_saved_model_are_those_of_the_one_that_was_saved(
    one: Both, tmp_path: Path
) -> None:
    _, ours = one
    (tmp_path / "notes.txt").write_text("mine")
    ours.save_pretrained(tmp_path)
    for model in opened(tmp_path):
        assert model.prompts == ours.prompts
        assert_same(model.predict(PAIRS), ours.predict(PAIRS))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "pipeline_tag: text-ranking" in (tmp_path / "README.md").read_text()


def test_ours_opens_what_theirs_saves(one: Both, tmp_path: Path) -> None:
    theirs, _ = one
    theirs.save_pretrained(str(tmp_path))
    assert_same(theirs.predict(PAIRS), CrossEncoder(tmp_path).predict(PAIRS))


SAMPLES = [{"query": QUERY, "positive": [text], "documents": TEXTS} for text in TEXTS[:4]]
NEGATIVES = [{"query": QUERY, "positive": TEXTS[:2], "negative": TEXTS[2:]}]
LABELS = [index % 2 for index in range(len(PAIRS))]
EVALUATORS: dict[str, Callable[[], Any]] = {
    "reranking": lambda: evaluation.CrossEncoderRerankingEvaluator(SAMPLES, name="ours", write_csv=False),
    "reranking of negatives": lambda: evaluation.CrossEncoderRerankingEvaluator(NEGATIVES, write_csv=False),
    "reranking of what was found": lambda: evaluation.CrossEncoderRerankingEvaluator(
        SAMPLES, at_k=3, always_rerank_positives=False, prompt_name="code", write_csv=False
    ),
    "classification": lambda: evaluation.CrossEncoderClassificationEvaluator(PAIRS, LABELS, write_csv=False),
    "correlation": lambda: evaluation.CrossEncoderCorrelationEvaluator(
        PAIRS, np.linspace(0, 1, len(PAIRS)).tolist(), write_csv=False
    ),
}


@pytest.mark.parametrize("make", EVALUATORS.values(), ids=EVALUATORS)
def test_their_evaluators_find_the_same_values_with_ours(make: Callable[[], Any], one: Both) -> None:
    theirs, ours = (model.evaluate(make()) for model in one)
    assert theirs.keys() == ours.keys()
    assert_same(list(theirs.values()), list(ours.values()))


@pytest.fixture
def nano_beir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder in the form of NanoBEIR on the Hub, with two sets, which `datasets` reads in the same way."""
    texts = {f"d{index}": text for index, text in enumerate(TEXTS)}
    tables = {
        "corpus": {"_id": list(texts), "text": list(texts.values())},
        "queries": {"_id": ["q0", "q1"], "text": [pair[0] for pair in PAIRS[-2:]]},
        "qrels": {"query-id": ["q0", "q1", "q1"], "corpus-id": ["d3", "d0", "d5"]},
        "bm25": {"query-id": ["q0", "q1"], "corpus-ids": [list(texts), list(texts)[::-1]]},
    }
    configs = []
    for name, columns in tables.items():
        Dataset.from_dict(columns).to_parquet(tmp_path / f"{name}.parquet")
        files = [{"split": split, "path": f"{name}.parquet"} for split in ("NanoNQ", "NanoMSMARCO")]
        configs.append({"config_name": name, "data_files": files})
    (tmp_path / "README.md").write_text(f"---\n{json.dumps({'configs': configs})}\n---\n")
    # The evaluator names no cache, and the one of the home folder is not the tests' to fill.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return str(tmp_path)


def test_nano_beir_finds_the_same_values_with_ours(one: Both, nano_beir: str) -> None:
    evaluator = evaluation.CrossEncoderNanoBEIREvaluator(
        ["nq", "msmarco"], dataset_id=nano_beir, rerank_k=6, write_csv=False
    )
    theirs, ours = (evaluator(model) for model in one)
    assert theirs.keys() == ours.keys()
    assert len(theirs) > 10
    assert_same(list(theirs.values()), list(ours.values()))


def test_mteb_takes_ours_for_a_cross_encoder(one: Both, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # mteb imports this name and takes an instance of no other class.
    monkeypatch.setattr("sentence_transformers.CrossEncoder", CrossEncoder)
    wrapped = CrossEncoderWrapper(str(encoder_folder))
    assert isinstance(wrapped.model, CrossEncoder)
    loaders = [
        torch.utils.data.DataLoader(Dataset.from_dict({"text": [pair[place] for pair in PAIRS]}), batch_size=4)
        for place in (0, 1)
    ]
    scores = wrapped.predict(*loaders, task_metadata=None, hf_split="test", hf_subset="default", batch_size=4)
    assert_same(scores, one[0].predict(PAIRS, activation_fn=torch.nn.Identity()))


def assert_same(theirs: Any, ours: Any) -> None:
    """The same types, shapes and texts, and numbers within the tolerance."""
    assert type(theirs) is type(ours) or {type(theirs), type(ours)} <= {float, np.float64}
    if isinstance(theirs, np.ndarray | np.generic | torch.Tensor):
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape)
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=TOLERANCE, rtol=0)
    elif isinstance(theirs, dict):
        assert theirs.keys() == ours.keys()
        for name in theirs:
            assert_same(theirs[name], ours[name])
    elif isinstance(theirs, list | tuple):
        assert len(theirs) == len(ours)
        for left, right in zip(theirs, ours, strict=True):
            assert_same(left, right)
    elif isinstance(theirs, float):
        assert abs(theirs - ours) < TOLERANCE
    else:
        assert theirs == ours
