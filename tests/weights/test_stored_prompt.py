"""stored_prompt: files of another judge are run only with a prompt that the caller names; known ones as they say."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights import open_checkpoint
from testing.chat_templates import ASSISTANT, CONVERSATION, OWN, ZERANK, plain
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import edit_json, write_adapter, write_classifier, write_cross_encoder
from testing.model_card import PREFIX, SUFFIX

YES, NO = 494, 437


def template(source: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "chat_template.jinja").write_text(source)


def in_tokenizer(stored: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": stored}))


KNOWN: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "the card's": (template(plain()), "card"),
    "without a think block": (template(plain(suffix=ASSISTANT)), "card-no-think-block"),
    "in tokenizer_config.json": (in_tokenizer(plain()), "card"),
    "one of several": (
        in_tokenizer([{"name": "tools", "template": OWN}, {"name": "default", "template": plain()}]),
        "card",
    ),
    "for conversations": (template(CONVERSATION), None),
    "conversations in tokenizer_config.json": (in_tokenizer(CONVERSATION), None),
    "none": (lambda folder: None, None),
}


@pytest.mark.parametrize(("store", "name"), KNOWN.values(), ids=KNOWN)
def test_a_folder_is_judged_with_the_prompt_that_its_template_writes(
    small_checkpoint: Path, tmp_path: Path, store: Callable[[Path], object], name: str | None
) -> None:
    folder = write_classifier(tmp_path / "model", small_checkpoint, yes_id=YES, no_id=NO)
    store(folder)
    checkpoint = open_checkpoint(folder)
    assert checkpoint.stored_prompt.name == name
    assert checkpoint.template().name == name or name is None


def test_a_stored_template_wins_over_the_one_in_the_tokenizers_configuration(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    folder = write_classifier(tmp_path / "model", small_checkpoint, yes_id=YES, no_id=NO)
    in_tokenizer(OWN)(folder)
    template(plain())(folder)
    assert open_checkpoint(folder).template().name == "card"


UNKNOWN: dict[str, tuple[Callable[[Path], object], str]] = {
    "words of its own": (template(OWN), "Question: ...\\nPassage: ...\\nRelevant:"),
    "in tokenizer_config.json": (in_tokenizer(OWN), "tokenizer_config.json"),
    "code of its own": (
        lambda folder: edit_json(folder / "config.json", auto_map={"AutoConfig": "modeling_judge.Config"}),
        "modeling_judge.Config",
    ),
}


@pytest.mark.parametrize("layout", ["causal-lm", "seq-cls", "sentence-transformers"])
@pytest.mark.parametrize(("store", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_folder_of_another_judge_is_refused_unless_the_caller_names_its_prompt(
    small_checkpoint: Path, tmp_path: Path, layout: str, store: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "model"
    if layout == "seq-cls":
        write_classifier(folder, small_checkpoint, yes_id=YES, no_id=NO)
    else:
        ids = (YES, NO) if layout == "sentence-transformers" else None
        write_cross_encoder(folder, small_checkpoint, ids=ids)
        if ids is None:
            (folder / "modules.json").unlink()
    store(folder)
    with pytest.raises(CheckpointError, match="would mean nothing") as caught:
        Reranker(str(folder))
    assert said in str(caught.value)
    assert "--prompt" in str(caught.value)
    with Reranker(str(folder), prompt="card") as reranker:
        assert reranker.options.prompt == "card"


def test_a_cross_encoder_whose_template_reads_no_pairs_is_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "model", small_checkpoint, ids=(YES, NO))
    template(CONVERSATION)(folder)
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja: the chat template is not Qwen3-Reranker's"):
        open_checkpoint(folder).template()


def test_a_classifier_of_plain_text_is_said_to_leave_its_prompt_open_and_a_named_prompt_says_nothing(
    small_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = write_classifier(tmp_path / "classifier", small_checkpoint, yes_id=YES, no_id=NO)
    folder = write_cross_encoder(tmp_path / "model", classifier, ids=None)
    edit_json(folder / "sentence_bert_config.json", modality_config={"text": {"method": "forward"}})
    with caplog.at_level(logging.WARNING), Reranker(str(folder)) as by_card:
        [record] = caplog.records
        assert 'prompt="pair"' in record.getMessage()
        assert by_card.options.prompt == "card"
        logits = by_card.logits([("a query", "a document")])
    caplog.clear()
    with caplog.at_level(logging.WARNING), Reranker(str(folder), prompt="pair") as by_pair:
        assert not caplog.records
        assert not np.allclose(by_pair.logits([("a query", "a document")]), logits)


def test_an_instruction_for_a_prompt_that_reads_none_is_an_error(small_checkpoint: Path) -> None:
    with Reranker(str(small_checkpoint), prompt="pair") as reranker:
        assert reranker.default_instruction is None
        with pytest.raises(InputError, match="the prompt pair reads no instruction"):
            reranker.rank("q", ["d"], instruction="Find code")


def test_a_tokenizer_that_frames_texts_is_refused_for_plain_pairs(small_checkpoint: Path, tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "model", small_checkpoint, ids=(YES, NO))
    edit_json(folder / "tokenizer.json", post_processor={"type": "TemplateProcessing"})
    with pytest.raises(CheckpointError, match="post_processor sets tokens around texts"):
        Reranker(str(folder), prompt="pair")


def test_an_adapters_own_template_wins_over_its_bases(small_checkpoint: Path, tmp_path: Path) -> None:
    base = write_cross_encoder(tmp_path / "base", small_checkpoint, ids=(YES, NO))
    template(plain(suffix=ASSISTANT))(base)
    queries = {f"model.layers.{layer}.self_attn.q_proj": (32, 32) for layer in range(2)}
    folder = write_adapter(tmp_path / "adapter", base, queries)
    assert open_checkpoint(folder).template().name == "card-no-think-block"
    template(plain())(folder)
    assert open_checkpoint(folder).template().name == "card"
    template(CONVERSATION)(folder)
    assert open_checkpoint(folder).template().name == "card-no-think-block"


OURS = {
    "general.name": "Qwen3 Reranker 0.6B",
    "general.basename": "Qwen3-Reranker",
    "general.finetune": "qwen3_reranker",
    "general.base_model.0.name": "Qwen3 Reranker 4B",
    "general.base_model.1.repo_url": "https://huggingface.co/Qwen/Qwen3-Reranker-8B",
}


@pytest.mark.parametrize("key", OURS)
def test_a_gguf_without_a_head_is_a_qwen3_reranker_where_its_own_names_say_so(
    small_checkpoint: Path, tmp_path: Path, key: str
) -> None:
    path = write_gguf(tmp_path / "x.gguf", small_checkpoint, labels=None, fields={"general.name": "x", key: OURS[key]})
    assert open_checkpoint(path).template().name == "card"


@pytest.mark.parametrize("name", ["Jina Reranker v3", "Zerank 2", "Qwen3 0.6B Instruct", "Qwen3 Embedding 0.6B", None])
def test_a_gguf_without_a_head_and_with_another_name_is_refused_unless_the_caller_names_its_prompt(
    small_checkpoint: Path, tmp_path: Path, name: str | None
) -> None:
    path = write_gguf(tmp_path / "x.gguf", small_checkpoint, labels=None, fields={"general.name": name})
    with pytest.raises(CheckpointError, match="do not say Qwen3-Reranker") as caught:
        Reranker(str(path))
    assert (name or "no name at all") in str(caught.value)
    with Reranker(str(path), prompt="card") as reranker:
        assert len(reranker.rank("q", ["d"])) == 1


def test_a_gguf_with_a_head_needs_no_name(small_checkpoint: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", small_checkpoint, fields={"general.name": "mine"})
    assert open_checkpoint(path).template().name == "card"


def test_the_template_and_instruction_of_a_gguf_are_read(small_checkpoint: Path, tmp_path: Path) -> None:
    key = "tokenizer.chat_template.rerank"
    stored = f"{PREFIX}<Instruct>: Find code\n<Query>: {{query}}\n<Document>: {{document}}{SUFFIX}"
    path = write_gguf(tmp_path / "x.gguf", small_checkpoint, fields={key: stored})
    assert open_checkpoint(path).template().default_instruction == "Find code"
    other = write_gguf(tmp_path / "y.gguf", small_checkpoint, fields={key: "Q: {query} D: {document}"})
    with pytest.raises(CheckpointError, match=r"chat_template\.rerank is not Qwen3-Reranker's, it writes 'Q: \.\.\."):
        Reranker(str(other))


@pytest.mark.slow
def test_the_word_of_a_prompt_with_one_answer_judges_where_no_words_are_stored(
    qwen3_tokenizer_file: Path, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "model", vocab_size=151_669, tokenizer_file=qwen3_tokenizer_file)
    template(ZERANK)(folder)
    with Reranker(str(folder)) as reranker:
        assert reranker.options.prompt == "zerank"
        assert reranker.answer_ids == (9454,)
