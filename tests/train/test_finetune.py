"""Fine-tuning learns, resumes to the bit, refuses what cannot teach, and leaves a folder that serves and converts."""

import csv
import json
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3_reranker import Reranker
from qwen3_reranker.convert import BOUNDS, convert, measure_parity
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.train.example_file import TrainExample
from qwen3_reranker.train.finetuning import finetune
from qwen3_reranker.train.interruption import STOPPING
from qwen3_reranker.train.run import TrainRun
from qwen3_reranker.train.train_options import TrainOptions
from qwen3_reranker.weights import open_checkpoint, read_entries
from tests.train.tuning import fifty

pytestmark = pytest.mark.slow

QUICK = TrainOptions(steps=6, batch_groups=4, negatives=3, rate=1e-3, evaluate_every=3, save_every=2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def logits(folder: Path, examples: list[TrainExample]) -> np.ndarray:
    pairs = [(each.query, text) for each in examples for text in each.documents]
    with Reranker(folder, disk_cache=False) as reranker:
        return reranker.logits(pairs)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "rate", "epochs"), [("full", 1e-2, 30), ("lora", 3e-3, 40)])
def test_twenty_groups_are_learned_by_heart(
    small_checkpoint: Path, tmp_path: Path, method: str, rate: float, epochs: int
) -> None:
    examples = fifty(count=20)
    before = logits(small_checkpoint, examples).reshape(20, 4)
    assert (before.argmax(1) == 0).sum() < 10
    options = TrainOptions(method=method, epochs=epochs, batch_groups=5, rate=rate, negatives=3)
    outcome = finetune(TrainRun(tmp_path / "run", small_checkpoint, examples, options))
    losses = [float(row["loss"]) for row in rows(tmp_path / "run" / "log.csv")]
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
    after = logits(outcome.model, examples).reshape(20, 4)
    assert (after.argmax(1) == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    small_checkpoint: Path, tmp_path: Path, method: str
) -> None:
    options = replace(QUICK, method=method, dropout=0.1, anchor=0.5, loss="bce+0.5*softmax")
    examples, held_out = fifty(), fifty(2, count=6)
    whole = finetune(
        TrainRun(tmp_path / "whole", small_checkpoint, examples, options, held_out=held_out, keep_last=True)
    )
    # An evaluation is due at this step: it is left to the run that goes on.
    interrupt_at = 3

    def stop(share: float) -> None:
        if share == interrupt_at / 6:
            signal.raise_signal(signal.SIGINT)

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        finetune(
            TrainRun(tmp_path / "parts", small_checkpoint, examples, options, held_out=held_out),
            on_message=told.append,
            on_progress=stop,
        )
    assert told[-1] == STOPPING
    assert [len(rows(tmp_path / "parts" / name)) for name in ("log.csv", "evaluations.csv")] == [interrupt_at, 1]
    parts = finetune(
        TrainRun(tmp_path / "parts", small_checkpoint, examples, options, held_out=held_out, keep_last=True),
        resume=True,
    )
    [weights] = [path.name for path in whole.model.glob("*.safetensors")]
    assert (parts.model / weights).read_bytes() == (whole.model / weights).read_bytes()
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts")]
    for name, weight in states[0]["weights"].items():
        assert torch.equal(weight, states[1]["weights"][name]), name
    assert states[0]["optimiser"]["state"].keys() == states[1]["optimiser"]["state"].keys()
    for key, moments in states[0]["optimiser"]["state"].items():
        assert all(torch.equal(moment, states[1]["optimiser"]["state"][key][name]) for name, moment in moments.items())
    for name in ("log.csv", "evaluations.csv"):
        told = [
            [
                {field: value for field, value in row.items() if "second" not in field}
                for row in rows(tmp_path / run / name)
            ]
            for run in ("whole", "parts")
        ]
        assert told[0] == told[1]


def test_a_fresh_adapter_serves_and_its_logits_are_those_of_training(small_checkpoint: Path, tmp_path: Path) -> None:
    examples, held_out = fifty(), fifty(2, count=6)
    outcome = finetune(TrainRun(tmp_path / "run", small_checkpoint, examples, QUICK, held_out=held_out, keep_last=True))
    assert open_checkpoint(outcome.model).layout == "lora"
    moved = np.abs(logits(outcome.model, held_out) - logits(small_checkpoint, held_out))
    assert moved.max() > 1e-3
    [*_, last] = rows(tmp_path / "run" / "evaluations.csv")
    judged = logits(outcome.model, held_out).reshape(-1, 4)
    assert outcome.state.best is not None
    expected = np.mean([(own[0] > own[1:]).mean() for own in judged])
    assert outcome.state.best_step == 0 or expected == pytest.approx(outcome.state.best.pairs)
    assert int(last["step"]) == 6


@pytest.mark.slow
def test_an_adapter_becomes_merged_then_seq_cls_then_gguf_with_the_same_scores(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    outcome = finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), QUICK))
    before = outcome.model
    for layout, name in (("hf", "merged"), ("seq-cls", "classifier"), ("gguf", "model.gguf")):
        convert(open_checkpoint(before), tmp_path / name, layout)
        parity = measure_parity(outcome.model, tmp_path / name, BOUNDS["f32"])
        assert parity.holds, (layout, parity)
        before = tmp_path / name
    plain = measure_parity(small_checkpoint, before, BOUNDS["f32"])
    assert not plain.holds, "training that moves nothing would prove nothing"


@pytest.mark.slow
# peft asks transformers in a way that it has deprecated.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_is_peft_s_own_format_both_ways(small_checkpoint: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    outcome = finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), QUICK))
    theirs = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(small_checkpoint, dtype=torch.float32), outcome.model
    )
    with Reranker(outcome.model, disk_cache=False) as reranker:
        [row] = reranker.rows(["a query"], ["a document"])
        [ours] = reranker.logits([("a query", "a document")])
        yes, no = reranker.tokens.yes_id, reranker.tokens.no_id
    with torch.no_grad():
        last_V = theirs(torch.from_numpy(row.ids)[None].long()).logits[0, -1]
    assert float(last_V[yes] - last_V[no]) == pytest.approx(float(ours), abs=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    again = finetune(TrainRun(tmp_path / "more", tmp_path / "theirs", fifty(), replace(QUICK, steps=1, rate=1e-12)))
    assert np.allclose(logits(again.model, fifty(count=3)), logits(outcome.model, fifty(count=3)), atol=1e-5)


def test_an_adapter_is_trained_further_on_the_same_base(small_checkpoint: Path, tmp_path: Path) -> None:
    first = finetune(TrainRun(tmp_path / "first", small_checkpoint, fifty(), QUICK))
    second = finetune(TrainRun(tmp_path / "second", first.model, fifty(), QUICK))
    configs = [json.loads((each.model / "adapter_config.json").read_text()) for each in (first, second)]
    assert configs[0]["base_model_name_or_path"] == configs[1]["base_model_name_or_path"] == str(small_checkpoint)
    some = fifty(count=4)
    before, between, after = (logits(each, some) for each in (small_checkpoint, first.model, second.model))
    assert np.abs(after - between).max() > 1e-3
    assert np.abs(between - before).max() > 1e-3


def test_an_adapter_of_the_bundled_model_names_it(tmp_path: Path) -> None:
    outcome = finetune(TrainRun(tmp_path / "run", "nano", fifty(count=2), replace(QUICK, steps=1)))
    assert json.loads((outcome.model / "adapter_config.json").read_text())["base_model_name_or_path"] == "nano"
    with Reranker(outcome.model) as reranker:
        assert len(reranker.rank("river", ["a", "b"])) == 2


def test_a_whole_checkpoint_of_an_untied_model_has_its_trained_head(
    small_checkpoint: Path, tmp_path: Path, untied_checkpoint: Path
) -> None:
    outcome = finetune(
        TrainRun(tmp_path / "run", untied_checkpoint, fifty(), replace(QUICK, method="full", loss="sft"))
    )
    stored = read_entries(outcome.model / "model.safetensors")
    assert "lm_head.weight" in stored
    checkpoint, start = open_checkpoint(outcome.model), open_checkpoint(untied_checkpoint)
    moved = np.abs(checkpoint.head.tensor.read() - start.head.tensor.read()).max(axis=1)
    assert (moved > 0).sum() > 2, "the paper's loss moves every word's row"


@pytest.mark.parametrize(
    ("options", "scored"),
    [
        (replace(QUICK, loss="sft"), False),
        (replace(QUICK, loss="ranknet+lambda", random_negatives=2), False),
        (replace(QUICK, loss="margin-mse+0.1*bce"), True),
        (replace(QUICK, loss="kl+soft-bce", temperature=2.0), True),
        (replace(QUICK, precision="bfloat16"), False),
        (replace(QUICK, precision="bfloat16", method="full", schedule="constant"), False),
    ],
    ids=lambda value: f"{value.loss} {value.method} {value.precision}" if isinstance(value, TrainOptions) else "",
)
def test_every_loss_and_precision_takes_steps(
    small_checkpoint: Path, tmp_path: Path, options: TrainOptions, scored: bool
) -> None:
    outcome = finetune(
        TrainRun(
            tmp_path / "run",
            small_checkpoint,
            fifty(scored=scored),
            replace(options, steps=2),
            held_out=fifty(2, count=3),
            keep_last=True,
        )
    )
    assert outcome.state.step == 2
    assert np.isfinite(logits(outcome.model, fifty(count=2))).all()


@pytest.mark.slow
def test_checkpointing_and_smaller_batches_change_no_result_beyond_rounding(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    found = []
    for name, options in (
        ("whole", QUICK),
        ("recomputed", replace(QUICK, checkpointing=True)),
        ("cut", replace(QUICK, max_batch_tokens=1)),
    ):
        outcome = finetune(TrainRun(tmp_path / name, small_checkpoint, fifty(), options))
        found.append(logits(outcome.model, fifty(count=5)))
    assert np.abs(found[0] - logits(small_checkpoint, fifty(count=5))).max() > 1e-2
    assert np.allclose(found[0], found[1], atol=1e-4)
    assert np.allclose(found[0], found[2], atol=1e-3)


@pytest.mark.slow
def test_an_anchor_holds_the_model_where_it_was(small_checkpoint: Path, tmp_path: Path) -> None:
    start, moved = logits(small_checkpoint, fifty(count=10)), []
    for method in ("lora", "full"):
        for weight in (0.0, 100.0):
            options = replace(QUICK, method=method, anchor=weight, steps=12, schedule="constant")
            outcome = finetune(TrainRun(tmp_path / f"{method}{weight}", small_checkpoint, fifty(), options))
            moved.append(np.abs(logits(outcome.model, fifty(count=10)) - start).mean())
    assert moved[1] < 0.7 * moved[0]
    assert moved[3] < 0.7 * moved[2]


def test_patience_ends_a_run_that_no_longer_improves(small_checkpoint: Path, tmp_path: Path) -> None:
    options = replace(QUICK, rate=1e-12, steps=40, evaluate_every=2, patience=3)
    # Nothing is learned at such a rate: the last weights are not the result unless they are asked for.
    outcome = finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), options, held_out=fifty(2, count=6)))
    assert outcome.state.step == 6
    assert outcome.model is None
    assert not (tmp_path / "run" / "model").exists()
    outcome = finetune(
        TrainRun(tmp_path / "run", small_checkpoint, fifty(), options, held_out=fifty(2, count=6), keep_last=True),
        resume=True,
    )
    assert outcome.state.step == 6
    assert outcome.model is not None
    card = (outcome.model / "README.md").read_text(encoding="utf-8")
    assert "No evaluation beat the start model" in card


def test_the_card_and_the_logs_say_what_was_done(small_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    lines: list[str] = []
    outcome = finetune(
        TrainRun(
            tmp_path / "run",
            small_checkpoint,
            fifty(),
            replace(QUICK, method="full", rate=1e-2),
            held_out=fifty(2, count=8),
            command="the command",
            keep_last=True,
        ),
        on_message=lines.append,
    )
    card = (outcome.model / "README.md").read_text(encoding="utf-8")
    # The Hub refuses a folder as the base.
    assert "base_model" not in card
    assert "- qwen3-reranker" in card
    assert "| ndcg@10 |" in card
    assert "the command" in card
    steps, evaluations = rows(tmp_path / "run" / "log.csv"), rows(tmp_path / "run" / "evaluations.csv")
    assert [int(row["step"]) for row in steps] == [1, 2, 3, 4, 5, 6]
    assert [int(row["step"]) for row in evaluations] == [0, 3, 6]
    assert all(float(row["tree_tokens"]) < 0.5 * float(row["row_tokens"]) for row in steps)
    assert "6 steps" in lines[0]
    assert lines[1].startswith("step 0/6")


def test_a_folder_in_use_is_not_written_over(small_checkpoint: Path, tmp_path: Path) -> None:
    finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), replace(QUICK, steps=1)))
    with pytest.raises(InputError, match="--resume"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), replace(QUICK, steps=1)))
    with pytest.raises(InputError, match=r"rate 0\.001, not 0\.002"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), replace(QUICK, steps=1, rate=2e-3)), resume=True)
    with pytest.raises(InputError, match="data"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(3), replace(QUICK, steps=1)), resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="belong to no run"):
        finetune(TrainRun(tmp_path / "mine", small_checkpoint, fifty(), QUICK))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda some: [replace(each, negatives=()) for each in some], "every document is positive"),
        (lambda some: [*some, replace(some[0], negatives=some[0].positives)], "positive and negative"),
        (lambda some: [], "no examples"),
    ],
)
def test_data_that_cannot_teach_are_refused_before_anything_is_written(
    small_checkpoint: Path, tmp_path: Path, spoil: Callable[[list[TrainExample]], list[TrainExample]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, spoil(fifty()), QUICK))
    assert not (tmp_path / "run").exists()


def test_leaks_and_missing_scores_are_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held-out query is trained on"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), QUICK, held_out=fifty()[:3]))
    with pytest.raises(InputError, match="train distil"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), replace(QUICK, loss="kl")))
    options = replace(QUICK, loss="kl", random_negatives=1)
    with pytest.raises(InputError, match="random_negatives"):
        finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(scored=True), options))


@pytest.mark.slow
def test_a_gguf_file_can_be_no_adapter_s_base_and_a_classifier_is_not_trained_whole(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    for layout, name in (("gguf", "model.gguf"), ("seq-cls", "classifier")):
        convert(open_checkpoint(small_checkpoint), tmp_path / name, layout)
    with pytest.raises(CheckpointError, match="not GGUF"):
        finetune(TrainRun(tmp_path / "run", tmp_path / "model.gguf", fifty(), QUICK))
    with pytest.raises(InputError, match="convert it first"):
        finetune(TrainRun(tmp_path / "other", tmp_path / "classifier", fifty(), replace(QUICK, method="full")))
    outcome = finetune(TrainRun(tmp_path / "third", tmp_path / "classifier", fifty(), replace(QUICK, steps=1)))
    assert np.isfinite(logits(outcome.model, fifty(count=1))).all()


def test_a_run_in_a_thread_of_its_own_needs_no_signals(small_checkpoint: Path, tmp_path: Path) -> None:
    done: list[int] = []

    def run() -> None:
        done.append(finetune(TrainRun(tmp_path / "run", small_checkpoint, fifty(), replace(QUICK, steps=1))).state.step)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [1]
