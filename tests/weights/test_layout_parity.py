"""Every layout, written by the library it belongs to, scores as that library does and as its causal-LM original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qwen3_reranker import Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.errors import InputError
from qwen3_reranker.weights import open_checkpoint
from testing.chat_templates import ASSISTANT, ZERANK, looped, plain
from testing.layouts import write_classifier, write_cross_encoder
from testing.model_card import INSTRUCTION, SUFFIX, ModelCard
from testing.texts import documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]

YES, NO = 494, 437
TOLERANCE = 1e-4
PAIRS = [("What is the capital of China?", text) for text in documents(5, 12, 60)]
OWN_INSTRUCTION = "Given a question, find the passage that answers it"
CHAT_TEMPLATE = looped()


@pytest.fixture(scope="module")
def card(small_checkpoint: Path) -> ModelCard:
    return ModelCard(small_checkpoint)


@pytest.fixture(scope="module")
def original(small_reranker: Reranker) -> np.ndarray:
    logits = small_reranker.logits(PAIRS)
    assert logits.std() > 0.1, "logits so small would prove nothing"
    return logits


def ours(folder: Path, **options: Any) -> np.ndarray:
    with Reranker(str(folder), **options) as reranker:
        return reranker.logits(PAIRS)


def far(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


@torch.no_grad()
def classified(model: Any, card: ModelCard) -> np.ndarray:
    """The classifier's logits of each row, (num_pairs, num_labels); row by row, so that nothing is padded."""
    return np.concatenate([model(torch.tensor([row])).logits.numpy() for row in card.rows(PAIRS)])


def classifier(base: Path, labels: Sequence[str]) -> Any:
    """transformers' conversion of the base, with the judge's rows in the order of `labels`."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: row for row, label in enumerate(labels)},
        dtype=torch.float32,
    ).eval()
    words = model.model.embed_tokens.weight
    rows = {"yes": words[YES], "no": words[NO]}
    with torch.no_grad():
        model.score.weight.copy_(torch.stack([rows.get(label, words[YES] - words[NO]) for label in labels]))
    return model


def save_tokenizer(card: ModelCard, folder: Path, chat_template: str | None = None) -> None:
    card.tokenizer.chat_template = chat_template
    card.tokenizer.save_pretrained(folder)
    card.tokenizer.chat_template = None


@pytest.mark.parametrize("labels", [["LABEL_0"], ["no", "yes"], ["Yes", "No"]], ids=str)
def test_a_classifier_that_transformers_writes_scores_as_there_and_as_its_original(
    labels: list[str], small_checkpoint: Path, card: ModelCard, original: np.ndarray, tmp_path: Path
) -> None:
    model = classifier(small_checkpoint, [label.lower() if len(labels) == 2 else label for label in labels])
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: row for row, label in enumerate(labels)}
    model.save_pretrained(tmp_path)
    save_tokenizer(card, tmp_path)
    expected = classified(model, card)
    rows = [label.lower() for label in labels]
    difference = expected[:, rows.index("yes")] - expected[:, rows.index("no")] if len(rows) == 2 else expected[:, 0]
    assert far(ours(tmp_path), difference) < TOLERANCE
    assert far(ours(tmp_path), original) < TOLERANCE


@pytest.mark.parametrize("labels", [None, ("no", "yes"), ("yes", "no")])
def test_transformers_reads_the_factorys_classifiers_as_we_do(
    labels: tuple[str, str] | None, small_checkpoint: Path, card: ModelCard, original: np.ndarray, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = write_classifier(tmp_path, small_checkpoint, yes_id=YES, no_id=NO, labels=labels)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    expected = classified(model, card)
    difference = expected[:, labels.index("yes")] - expected[:, labels.index("no")] if labels else expected[:, 0]
    assert far(ours(folder), difference) < TOLERANCE
    assert far(ours(folder), original) < TOLERANCE


def cross_encoder(
    base: Path, card: ModelCard, folder: Path, chat_template: str | None = CHAT_TEMPLATE, **options: Any
) -> Any:
    """sentence-transformers' CrossEncoder of the base, whose tokenizer gets the judge as its chat template."""
    from sentence_transformers import CrossEncoder

    folder.mkdir(exist_ok=True)
    for path in base.iterdir():
        if path.is_file() and path.name != "tokenizer.json":
            (folder / path.name).write_bytes(path.read_bytes())
    save_tokenizer(card, folder, chat_template)
    return CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32}, **options)


def predicted(encoder: Any) -> np.ndarray:
    scores: np.ndarray = encoder.predict(PAIRS, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return scores


@pytest.mark.parametrize("instruction", [None, OWN_INSTRUCTION])
def test_a_cross_encoder_scores_as_in_sentence_transformers_with_its_stored_instruction(
    instruction: str | None, small_checkpoint: Path, small_reranker: Reranker, card: ModelCard, tmp_path: Path
) -> None:
    stored = {} if instruction is None else {"prompts": {"ask": instruction}, "default_prompt_name": "ask"}
    encoder = cross_encoder(small_checkpoint, card, tmp_path / "base", **stored)
    encoder.save_pretrained(str(tmp_path / "saved"))
    with Reranker(str(tmp_path / "saved")) as reranker:
        logits = reranker.logits(PAIRS)
        assert reranker.default_instruction == (instruction or INSTRUCTION)
        assert far(reranker.logits(PAIRS, INSTRUCTION), small_reranker.logits(PAIRS)) < TOLERANCE
    assert far(logits, predicted(encoder)) < TOLERANCE
    assert far(logits, small_reranker.logits(PAIRS, instruction)) < TOLERANCE


@pytest.mark.parametrize("ids", [(NO, YES), (100, 200), (100, None)])
def test_a_cross_encoders_own_words_judge(
    ids: tuple[int, int | None], small_checkpoint: Path, card: ModelCard, tmp_path: Path
) -> None:
    encoder = cross_encoder(small_checkpoint, card, tmp_path / "base")
    encoder[1].true_token_id, encoder[1].false_token_id = ids
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert far(ours(tmp_path / "saved"), predicted(encoder)) < TOLERANCE


def test_a_cross_encoder_with_a_classifier_scores_as_in_sentence_transformers(
    small_checkpoint: Path, card: ModelCard, original: np.ndarray, tmp_path: Path
) -> None:
    model = classifier(small_checkpoint, ["LABEL_0"])
    model.config.pad_token_id = card.tokenizer.pad_token_id
    model.save_pretrained(tmp_path / "classifier")
    encoder = cross_encoder(tmp_path / "classifier", card, tmp_path / "base")
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert not (tmp_path / "saved" / "1_LogitScore").exists()
    assert far(ours(tmp_path / "saved"), predicted(encoder)) < TOLERANCE
    assert far(ours(tmp_path / "saved"), original) < TOLERANCE


def test_sentence_transformers_reads_the_factorys_cross_encoders_as_we_do(
    small_checkpoint: Path, card: ModelCard, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder

    folder = write_cross_encoder(tmp_path, small_checkpoint, ids=(YES, NO), prompt=OWN_INSTRUCTION)
    save_tokenizer(card, folder, CHAT_TEMPLATE)
    encoder = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    assert far(ours(folder), predicted(encoder)) < TOLERANCE


STORED = {
    "zerank": (ZERANK, (YES, None)),
    "card-no-think-block": (plain(suffix=ASSISTANT), (YES, NO)),
    "card-lost-newline": (plain().removesuffix("\n"), (YES, NO)),
    "card-vllm": (plain(separator="\n\n", suffix=f"<|im_end|>\n{SUFFIX}"), (YES, NO)),
}


@pytest.mark.parametrize("name", STORED)
def test_a_cross_encoder_with_another_prompt_scores_as_in_sentence_transformers_whatever_it_is_converted_to(
    name: str, small_checkpoint: Path, card: ModelCard, original: np.ndarray, tmp_path: Path
) -> None:
    source, ids = STORED[name]
    encoder = cross_encoder(small_checkpoint, card, tmp_path / "base", source)
    encoder[1].true_token_id, encoder[1].false_token_id = ids
    encoder.save_pretrained(str(tmp_path / "saved"))
    expected = predicted(encoder)
    assert far(expected, original) > 0.01, "a prompt without effect would prove nothing"
    assert far(ours(tmp_path / "saved"), expected) < TOLERANCE
    checkpoint = open_checkpoint(tmp_path / "saved")
    for layout in ("seq-cls", "sentence-transformers", "gguf"):
        written = convert(checkpoint, tmp_path / ("x.gguf" if layout == "gguf" else layout), layout).path
        assert open_checkpoint(written).template().name == name
        assert far(ours(written), expected) < TOLERANCE
    again = type(encoder)(str(tmp_path / "sentence-transformers"), device="cpu")
    assert far(predicted(again), expected) < TOLERANCE


def test_a_classifier_trained_on_plain_pairs_scores_as_in_sentence_transformers_with_the_prompt_pair(
    small_checkpoint: Path, card: ModelCard, original: np.ndarray, tmp_path: Path
) -> None:
    model = classifier(small_checkpoint, ["LABEL_0"])
    model.config.pad_token_id = card.tokenizer.pad_token_id
    model.save_pretrained(tmp_path / "classifier")
    encoder = cross_encoder(tmp_path / "classifier", card, tmp_path / "base", None)
    encoder.save_pretrained(str(tmp_path / "saved"))
    assert far(predicted(encoder), original) > 0.01
    assert far(ours(tmp_path / "saved", prompt="pair"), predicted(encoder)) < TOLERANCE
    assert far(ours(tmp_path / "saved", prompt="card"), original) < TOLERANCE
    with pytest.raises(InputError, match="so it must be named"):
        convert(open_checkpoint(tmp_path / "saved"), tmp_path / "converted", "seq-cls")
    written = convert(open_checkpoint(tmp_path / "saved"), tmp_path / "named", "seq-cls", prompt="card").path
    assert far(ours(written), original) < TOLERANCE
    with pytest.raises(InputError, match="the prompt pair has no chat template"):
        convert(open_checkpoint(tmp_path / "saved"), tmp_path / "converted", "seq-cls", prompt="pair")


def adapt(model: Any, **options: Any) -> Any:
    """peft's LoRA over the model, trained in a single random step."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 8, **options}))
    shake(adapted)
    return adapted.eval()


def shake(adapted: Any) -> None:
    random = torch.Generator().manual_seed(1)
    for name, values in adapted.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            values.data += 0.2 * torch.randn(values.shape, generator=random)


LORA: dict[str, dict[str, Any]] = {
    "two modules": {"target_modules": ["q_proj", "v_proj"]},
    "all-linear": {"target_modules": "all-linear", "r": 3},
    "regular expression": {"target_modules": r"model\.layers\.\d+\.mlp\.(up|down)_proj"},
    "rank-stabilised": {"target_modules": ["o_proj", "gate_proj"], "use_rslora": True},
    "one layer": {"target_modules": ["k_proj"], "layers_to_transform": [1]},
    "patterns": {
        "target_modules": ["q_proj", "k_proj", "down_proj"],
        "rank_pattern": {"k_proj": 7, r"^model\.layers\.1\.self_attn.q_proj": 2},
        "alpha_pattern": {"layers.0.mlp.down_proj": 31, "q_proj": 3},
    },
    "head trained too": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("options", LORA.values(), ids=LORA)
def test_an_adapter_scores_as_in_peft(
    options: dict[str, Any], small_checkpoint: Path, original: np.ndarray, tmp_path: Path
) -> None:
    card = ModelCard(small_checkpoint)
    card.model = adapt(card.model, task_type="CAUSAL_LM", **options)
    card.model.save_pretrained(tmp_path)
    expected = card.logits(PAIRS)
    assert far(expected, original) > 0.1, "an adapter without effect would prove nothing"
    assert far(ours(tmp_path), expected) < TOLERANCE
    assert far(ours(tmp_path, backend="reference"), expected) < TOLERANCE


@pytest.mark.parametrize("labels", [["LABEL_0"], ["no", "yes"]], ids=str)
def test_an_adapter_with_its_own_classifier_scores_as_in_peft(
    labels: list[str], small_checkpoint: Path, card: ModelCard, tmp_path: Path
) -> None:
    whole = classifier(small_checkpoint, labels)
    base = small_checkpoint
    if len(labels) == 2:
        base = tmp_path / "classifier"
        whole.save_pretrained(base)
        save_tokenizer(card, base)
    model = adapt(whole, task_type="SEQ_CLS", target_modules=["q_proj", "up_proj"])
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(tmp_path / "adapter")
    expected = classified(model, card)
    difference = expected[:, 1] - expected[:, 0] if len(labels) == 2 else expected[:, 0]
    assert far(ours(tmp_path / "adapter"), difference) < TOLERANCE


def test_an_adapter_in_a_cross_encoder_scores_as_in_sentence_transformers(
    small_checkpoint: Path, card: ModelCard, tmp_path: Path
) -> None:
    from peft import LoraConfig

    encoder = cross_encoder(small_checkpoint, card, tmp_path / "base", prompts={"ask": OWN_INSTRUCTION})
    encoder.default_prompt_name = "ask"
    encoder.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "gate_proj"], task_type="CAUSAL_LM"))
    shake(encoder)
    encoder.eval()
    encoder.save_pretrained(str(tmp_path / "saved"))
    with Reranker(str(tmp_path / "saved")) as reranker:
        assert (reranker.checkpoint.layout, reranker.default_instruction) == ("lora", OWN_INSTRUCTION)
        assert far(reranker.logits(PAIRS), predicted(encoder)) < TOLERANCE
