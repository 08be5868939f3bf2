"""What a student learns from a tree is what stock transformers learns from padded rows; groups follow from the seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3_reranker.train.losses import LossOptions, bce, sft
from qwen3_reranker.train.sampling import Groups, pieces
from qwen3_reranker.train.student import Student
from qwen3_reranker.train.train_options import TrainOptions
from tests.train.tuning import fifty, groups_of, opened

pytestmark = pytest.mark.slow

FULL = TrainOptions(method="full", batch_groups=4, negatives=3)
CPU = torch.device("cpu")


def groups(folder: Path, options: TrainOptions = FULL) -> Groups:
    return groups_of(fifty(), opened(folder)[1], options)


@pytest.mark.parametrize("loss", ["bce", "sft"])
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_a_tree_are_those_of_padded_rows_in_transformers(
    small_checkpoint: Path, untied_checkpoint: Path, tied: bool, loss: str
) -> None:
    from transformers import AutoModelForCausalLM

    folder = small_checkpoint if tied else untied_checkpoint
    checkpoint, tokens = opened(folder)
    student = Student(checkpoint, tokens, FULL, CPU, (loss,))
    some = groups_of(fifty(), tokens, FULL).step(0)
    batch = student.batch(some)
    assert batch.tree.tree_tokens < 0.5 * batch.tree.row_tokens < 0.5 * batch.tree.padded_tokens
    scored = student.scored(batch, vocabulary=loss == "sft")
    ours = (bce if loss == "bce" else sft)(scored, LossOptions()).mean()
    torch.autograd.backward(ours)

    stock = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [row.ids for group in some for row in group.rows]
    labels = torch.tensor([label for group in some for label in group.labels])
    longest = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, longest - len(row) :] = torch.from_numpy(row)
        mask[place, longest - len(row) :] = 1
    last_NV = stock(input_ids=ids, attention_mask=mask).logits[:, -1]
    if loss == "bce":
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(
            last_NV[:, tokens.yes_id] - last_NV[:, tokens.no_id], labels
        )
    else:
        words = torch.where(labels == 1, tokens.yes_id, tokens.no_id)
        theirs = torch.nn.functional.cross_entropy(last_NV, words)
    torch.autograd.backward(theirs)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    expected = {name: weight.grad for name, weight in stock.named_parameters()}
    for name, weight in student.trained().items():
        wanted = expected["lm_head.weight" if name == "lm_head" else name.removeprefix("network.")]
        assert wanted is not None
        assert weight.grad is not None
        scale = float(wanted.abs().max())
        assert scale > 1e-6, f"{name}: gradients so small would prove nothing"
        assert torch.allclose(weight.grad, wanted, rtol=0, atol=2e-4 * scale), name
    assert len(student.trained()) == len(expected)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_have_the_same_bits_every_time_with_several_threads(
    small_checkpoint: Path, checkpointing: bool
) -> None:
    checkpoint, tokens = opened(small_checkpoint)
    student = Student(checkpoint, tokens, replace(FULL, checkpointing=checkpointing), CPU, ("sft",))
    # Torch shares out what has more than 32,768 numbers.
    texts = [replace(each, negatives=tuple(text * 40 for text in each.negatives)) for each in fifty(count=8)]
    batch = student.batch(groups_of(texts, tokens, FULL).step(0) + groups_of(texts, tokens, FULL).step(1))
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(4)
    try:
        for _ in range(3):
            torch.autograd.backward(sft(student.scored(batch, vocabulary=True), LossOptions()).mean())
            found.append({name: weight.grad for name, weight in student.trained().items()})
            student.zero_grad(set_to_none=True)
    finally:
        torch.set_num_threads(before)
    for name, gradient in found[0].items():
        assert gradient is not None
        assert all(torch.equal(gradient, other[name]) for other in found[1:]), name


def test_groups_of_unlike_size_are_judged_as_each_alone(small_checkpoint: Path) -> None:
    checkpoint, tokens = opened(small_checkpoint)
    student = Student(checkpoint, tokens, FULL, CPU, ("bce",))
    examples = fifty(count=3)
    examples[1] = replace(examples[1], negatives=examples[1].negatives[:1])
    maker = groups_of(examples, tokens, FULL)
    some = [maker.whole(each) for each in examples]
    with torch.no_grad():
        together = student.scored(student.batch(some))
        for place, group in enumerate(some):
            alone = student.scored(student.batch([group])).logits_GD[0]
            assert torch.allclose(together.logits_GD[place][together.real_GD[place]], alone, atol=1e-5)
    assert together.real_GD.sum() == 10


def test_an_epoch_sees_every_example_once_and_the_next_in_another_order_with_other_documents(
    small_checkpoint: Path,
) -> None:
    made = groups(small_checkpoint, replace(FULL, negatives=1))
    assert made.steps_per_epoch == 13
    epochs = [
        [row.ids.tobytes() for step in range(13) for group in made.step(first + step) for row in group.rows]
        for first in (0, 13)
    ]
    assert [len(epoch) for epoch in epochs] == [100, 100]
    assert len(set(epochs[0]) & set(epochs[1])) < 100
    assert epochs[0] != epochs[1]
    again = groups(small_checkpoint, replace(FULL, negatives=1))
    assert [row.ids.tobytes() for group in again.step(17) for row in group.rows] == [
        row.ids.tobytes() for group in made.step(17) for row in group.rows
    ]
    assert sum(made.groups_of_step(step) for step in range(13)) == 50


def test_processes_share_a_step_and_miss_nothing(small_checkpoint: Path) -> None:
    made = groups(small_checkpoint)
    whole = {group.rows[0].ids.tobytes() for group in made.step(3)}
    shares = [{group.rows[0].ids.tobytes() for group in made.step(3, rank, 3)} for rank in range(3)]
    assert set.union(*shares) == whole
    assert sum(map(len, shares)) == len(whole) == 4


def test_random_negatives_are_other_queries_documents(small_checkpoint: Path) -> None:
    made = groups(small_checkpoint, replace(FULL, negatives=0, random_negatives=3))
    for group in made.step(0):
        assert group.labels == (1.0, 0.0, 0.0, 0.0)
        assert len({row.ids.tobytes() for row in group.rows}) == 4


def test_pieces_hold_every_group_in_order_and_keep_to_the_tokens(small_checkpoint: Path) -> None:
    some = groups(small_checkpoint, replace(FULL, batch_groups=12)).step(0)
    most = 2 * max(group.num_tokens for group in some)
    cut = list(pieces(some, most))
    assert [group for piece in cut for group in piece] == some
    assert all(sum(group.num_tokens for group in piece) <= most for piece in cut)
    assert 6 <= len(cut) < 12
    assert all(len(piece) == 1 for piece in pieces(some, 1))


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    for schedule in ("cosine", "linear"):
        options = replace(FULL, schedule=schedule, warm_up=0.1)
        factors = [options.factor(step, 100) for step in range(100)]
        assert factors[0] == pytest.approx(0.1)
        assert max(factors) == pytest.approx(1.0)
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert factors[-1] < 0.02
    assert np.ptp([replace(FULL, schedule="constant").factor(step, 100) for step in range(10, 100)]) == 0
