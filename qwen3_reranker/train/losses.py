"""Logits of groups -> one loss per group, and weighted mixes of losses.

Shapes: G groups, D documents of the largest; `real_GD` is True for documents, False for padding. Labels are 1 for yes,
0 for no. Teacher's scores are logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_MU = 10.0
_TINY = 1e-10


@dataclass(frozen=True, eq=False, slots=True)
class ScoredGroups:
    """Logits, labels and teacher's scores of G groups.

    other_words_nll_GD: -log(p(yes) + p(no)) over all words, if a loss needs it.
    """

    logits_GD: Tensor
    labels_GD: Tensor
    real_GD: Tensor
    teacher_GD: Tensor | None = None
    other_words_nll_GD: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Parameters of the losses.

    positive_weight: of a positive in bce and sft; a negative has 1. temperature: of softmax and kl. top_k: lambda
    counts pairs with a document among the first top_k; None counts all.
    """

    positive_weight: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None


Loss = Callable[[ScoredGroups, LossOptions], Tensor]


def bce(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """Mean of -log p(label), p = sigmoid(logit): the paper's loss (arXiv 2506.05176, eq. 2) on yes and no only."""
    return _mean(_pointwise(scored, scored.labels_GD, options), scored.real_GD)


def sft(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """The paper's loss over all words: -log p(label) = bce - log(p(yes) + p(no))."""
    assert scored.other_words_nll_GD is not None
    return bce(scored, options) + _mean(scored.other_words_nll_GD, scored.real_GD)


def soft_bce(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """bce against the teacher's probability of yes."""
    return _mean(_pointwise(scored, _teacher(scored).sigmoid(), options), scored.real_GD)


def softmax(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """Cross-entropy of each positive against the negatives, mean over the positives (InfoNCE)."""
    scores_GD = scored.logits_GD / options.temperature
    positive_GD, negative_GD = _kinds(scored)
    negatives_G1 = scores_GD.masked_fill(~negative_GD, -math.inf).logsumexp(-1, keepdim=True)
    return _mean(torch.logaddexp(scores_GD, negatives_G1) - scores_GD, positive_GD)


def ranknet(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """Mean of softplus(s_no - s_yes) over pairs (Burges et al. 2005)."""
    return _mean(functional.softplus(-_differences(scored.logits_GD)), _pairs(scored))


def lambda_loss(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """NDCG-Loss2++ of LambdaLoss (Wang et al., CIKM 2018, eq. 16 and 18), mu = 10, in bits, mean over the pairs.

    A pair counts if either document is in the top k.
    """
    order_GD = scored.logits_GD.masked_fill(~scored.real_GD, -math.inf).argsort(dim=-1, descending=True, stable=True)
    placed = ScoredGroups(*(each.gather(1, order_GD) for each in (scored.logits_GD, scored.labels_GD, scored.real_GD)))
    most = placed.logits_GD.shape[1]
    place_D = torch.arange(1, most + 1, device=order_GD.device)
    discount_D = torch.log2(1.0 + place_D)
    top_D = place_D <= (options.top_k or most)
    relevance_GD = 2.0 ** placed.labels_GD.masked_fill(~placed.real_GD, 0.0) - 1.0
    ideal_GD = relevance_GD.sort(dim=-1, descending=True).values / discount_D * top_D
    gain_GD = relevance_GD / ideal_GD.sum(-1, keepdim=True).clamp(min=_TINY)
    gap_DD = (place_D[:, None] - place_D).abs()
    padded_D = torch.cat((discount_D.new_ones(1), torch.log2(1.0 + torch.arange(1, most + 1, device=order_GD.device))))
    # |1/D(gap) - 1/D(gap + 1)| with D(n) = log2(1 + n); a document has no pair with itself.
    bound_DD = torch.where(gap_DD > 0, (1.0 / padded_D[gap_DD] - 1.0 / torch.log2(2.0 + gap_DD)).abs(), 0.0)
    exact_DD = (1.0 / discount_D[:, None] - 1.0 / discount_D).abs()
    weights_GDD = (_MU * bound_DD + exact_DD) * _differences(gain_GD).abs()
    lost_GDD = -weights_GDD * functional.logsigmoid(_differences(placed.logits_GD)) / math.log(2.0)
    return _mean(lost_GDD, _pairs(placed) & (top_D[:, None] | top_D))


def margin_mse(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """Squared error of the margins between positives and negatives, against the teacher's (arXiv 2010.02666)."""
    return _mean(_differences(scored.logits_GD - _teacher(scored)).square(), _pairs(scored))


def kl(scored: ScoredGroups, options: LossOptions) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) over a group (Hinton et al., arXiv 1503.02531)."""
    temperature, hidden_GD = options.temperature, ~scored.real_GD
    student_GD, teacher_GD = (
        (each / temperature).masked_fill(hidden_GD, -math.inf).log_softmax(-1)
        for each in (scored.logits_GD, _teacher(scored))
    )
    # For padding, 0 * (-inf - -inf) would be NaN.
    lost_GD = teacher_GD.exp() * (teacher_GD.masked_fill(hidden_GD, 0.0) - student_GD.masked_fill(hidden_GD, 0.0))
    total_G: Tensor = lost_GD.sum(-1) * temperature**2
    return total_G


LOSSES: Mapping[str, Loss] = {
    "bce": bce,
    "sft": sft,
    "softmax": softmax,
    "ranknet": ranknet,
    "lambda": lambda_loss,
    "margin-mse": margin_mse,
    "kl": kl,
    "soft-bce": soft_bce,
}


def anchor(logits_GD: Tensor, start_GD: Tensor, real_GD: Tensor) -> Tensor:
    """KL from the start model's yes/no distribution to the current one, mean over documents, (G,)."""
    p_GD = start_GD.sigmoid()
    entropy_GD = functional.binary_cross_entropy_with_logits(start_GD, p_GD, reduction="none")
    crossed_GD = functional.binary_cross_entropy_with_logits(logits_GD, p_GD, reduction="none")
    return _mean(crossed_GD - entropy_GD, real_GD)


def mixed(mix: Mapping[str, float], scored: ScoredGroups, options: LossOptions) -> Tensor:
    """The weighted sum of losses, (G,)."""
    return torch.stack([weight * LOSSES[name](scored, options) for name, weight in mix.items()]).sum(0)


def _pointwise(scored: ScoredGroups, target_GD: Tensor, options: LossOptions) -> Tensor:
    weight = torch.tensor(options.positive_weight, device=target_GD.device)
    return functional.binary_cross_entropy_with_logits(scored.logits_GD, target_GD, pos_weight=weight, reduction="none")


def _teacher(scored: ScoredGroups) -> Tensor:
    assert scored.teacher_GD is not None
    return scored.teacher_GD


def _kinds(scored: ScoredGroups) -> tuple[Tensor, Tensor]:
    is_positive_GD = scored.labels_GD > 0.5
    return is_positive_GD & scored.real_GD, ~is_positive_GD & scored.real_GD


def _pairs(scored: ScoredGroups) -> Tensor:
    """Whether the first is a positive and the second a negative, (G, D, D)."""
    positive_GD, negative_GD = _kinds(scored)
    return positive_GD[:, :, None] & negative_GD[:, None, :]


def _differences(values_GD: Tensor) -> Tensor:
    return values_GD[:, :, None] - values_GD[:, None, :]


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean over `counted` values of each group, (G,); 0 if there are none."""
    first = values.masked_fill(~counted, 0.0).flatten(1).sum(1)
    mean_G: Tensor = first / counted.flatten(1).sum(1).clamp(min=1)
    return mean_G
