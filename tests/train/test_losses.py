"""Each loss is its formula: beside a peer's code, closed forms and finite differences; padding counts for nothing."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.loss_mix import NAMES, parse_mix
from qwen3_reranker.train.losses import LOSSES, LossOptions, ScoredGroups, anchor, mixed

PLAIN = LossOptions()


def scored(seed: int = 0, groups: int = 3, documents: int = 5, positives: int = 2) -> ScoredGroups:
    generator = torch.Generator().manual_seed(seed)

    def numbers() -> Tensor:
        return torch.randn(groups, documents, generator=generator, dtype=torch.float64) * 2

    labels_GD = (torch.arange(documents) < positives).double().expand(groups, -1)
    real_GD = torch.ones(groups, documents, dtype=torch.bool)
    return ScoredGroups(numbers(), labels_GD, real_GD, numbers(), numbers().abs())


def padded(some: ScoredGroups, extra: int) -> ScoredGroups:
    """The same groups with places that hold no document."""

    def wide(values: Tensor, fill: float) -> Tensor:
        return torch.cat((values, torch.full((len(values), extra), fill, dtype=values.dtype)), dim=1)

    assert some.teacher_GD is not None
    assert some.other_words_nll_GD is not None
    return ScoredGroups(
        wide(some.logits_GD, 3.0),
        wide(some.labels_GD, 0.0),
        wide(some.real_GD, False),
        wide(some.teacher_GD, 9.0),
        wide(some.other_words_nll_GD, 5.0),
    )


@pytest.mark.parametrize("name", LOSSES)
def test_places_without_a_document_change_no_loss_and_get_no_gradient(name: str) -> None:
    whole = scored()
    more = padded(whole, 3)
    logits_GD = more.logits_GD.requires_grad_()
    expected_G = LOSSES[name](whole, LossOptions(temperature=1.5))
    found_G = LOSSES[name](
        ScoredGroups(logits_GD, *(getattr(more, field) for field in FIELDS)), LossOptions(temperature=1.5)
    )
    assert torch.allclose(found_G, expected_G)
    [gradient_GD] = torch.autograd.grad(found_G.sum(), logits_GD)
    assert not gradient_GD[:, 5:].any()
    assert gradient_GD[:, :5].abs().sum() > 0.01


FIELDS = ("labels_GD", "real_GD", "teacher_GD", "other_words_nll_GD")


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    some = scored(3)

    def loss(logits_GD: Tensor) -> Tensor:
        return LOSSES[name](ScoredGroups(logits_GD, *(getattr(some, field) for field in FIELDS)), PLAIN)

    assert torch.autograd.gradcheck(loss, (some.logits_GD.clone().requires_grad_(),))


@pytest.mark.parametrize("name", ["softmax", "ranknet", "lambda", "margin-mse", "kl"])
def test_losses_that_compare_do_not_see_a_shift_of_a_group_and_bce_does(name: str) -> None:
    some = scored(5)
    moved = ScoredGroups(some.logits_GD + 7.0, *(getattr(some, field) for field in FIELDS))
    assert torch.allclose(LOSSES[name](some, PLAIN), LOSSES[name](moved, PLAIN))
    assert not torch.allclose(LOSSES["bce"](some, PLAIN), LOSSES["bce"](moved, PLAIN))


def test_the_paper_s_loss_is_cross_entropy_of_one_word_over_all_words() -> None:
    words_V = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    yes, no = 7, 11
    log_p_V = words_V.log_softmax(0)
    elsewhere = -torch.logaddexp(log_p_V[yes], log_p_V[no])
    for label, word in ((1.0, yes), (0.0, no)):
        some = ScoredGroups(
            (words_V[yes] - words_V[no]).view(1, 1),
            torch.full((1, 1), label, dtype=torch.float64),
            torch.ones(1, 1, dtype=torch.bool),
            other_words_nll_GD=elsewhere.view(1, 1),
        )
        assert torch.allclose(LOSSES["sft"](some, PLAIN), -log_p_V[word])


def test_softmax_with_one_positive_is_cross_entropy_of_its_place() -> None:
    some = scored(positives=1)
    expected_G = torch.nn.functional.cross_entropy(
        some.logits_GD / 0.5, torch.zeros(3, dtype=torch.long), reduction="none"
    )
    assert torch.allclose(LOSSES["softmax"](some, LossOptions(temperature=0.5)), expected_G)


def test_a_student_that_agrees_with_its_teacher_loses_nothing() -> None:
    some = scored()
    agreed = ScoredGroups(some.logits_GD, some.labels_GD, some.real_GD, some.logits_GD)
    for name in ("margin-mse", "kl"):
        assert torch.allclose(LOSSES[name](agreed, LossOptions(temperature=2.0)), torch.zeros(3, dtype=torch.float64))
    assert torch.allclose(anchor(some.logits_GD, some.logits_GD, some.real_GD), torch.zeros(3, dtype=torch.float64))
    assert (anchor(some.logits_GD, some.logits_GD + 1.0, some.real_GD) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("top_k", [None, 2])
@pytest.mark.parametrize("positives", [1, 2, 4])
def test_lambda_is_that_of_sentence_transformers(top_k: int | None, positives: int) -> None:
    from sentence_transformers.cross_encoder.losses import LambdaLoss

    class Told(torch.nn.Module):
        """Gives the logits that it was told, in place of a model's."""

        num_labels = 1
        device = torch.device("cpu")

        def preprocess(self, pairs: object, **_: object) -> dict[str, object]:
            return {}

        def forward(self, _: Mapping[str, object]) -> dict[str, Tensor]:
            return {"scores": self.logits}

    for seed in range(5):
        some = scored(seed, groups=1, documents=8, positives=positives)
        model = Told()
        model.logits = some.logits_GD[0].float()
        theirs = LambdaLoss(model, k=top_k, mini_batch_size=-1)
        expected = theirs([["q"], [[str(place) for place in range(8)]]], [some.labels_GD[0].float()])
        found = LOSSES["lambda"](some, LossOptions(top_k=top_k))
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_mix_is_the_weighted_sum() -> None:
    some = scored()
    expected_G = LOSSES["bce"](some, PLAIN) + 0.25 * LOSSES["kl"](some, PLAIN)
    assert torch.allclose(mixed(parse_mix("bce + 0.25*kl"), some, PLAIN), expected_G)


@pytest.mark.parametrize("text", ["", "bse", "bce+bce", "-1*bce", "nan*bce", "x*bce", "bce+", "0*kl"])
def test_a_mix_that_means_nothing_is_refused_with_the_names(text: str) -> None:
    with pytest.raises(InputError, match=r"bce.*softmax"):
        parse_mix(text)


def test_bce_at_zero_is_a_coin_s() -> None:
    zero = ScoredGroups(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert LOSSES["bce"](zero, PLAIN).item() == pytest.approx(math.log(2))
    assert LOSSES["bce"](zero, LossOptions(positive_weight=3.0)).item() == pytest.approx(2 * math.log(2))


def test_every_name_has_its_loss() -> None:
    assert tuple(LOSSES) == NAMES
