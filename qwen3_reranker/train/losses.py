"""Logits of groups -> one loss a group, and mixes of losses by weight.

Shapes: G groups, D documents of the largest; `real_GD` says which places hold a document. Labels are 1 for yes, 0 for
no. Teacher's scores are logits.
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
class Judged:
    """What a loss sees of G groups. elsewhere_GD: -log(p(yes) + p(no)) over all words, where a loss asks for it."""

    logits_GD: Tensor
    labels_GD: Tensor
    real_GD: Tensor
    teacher_GD: Tensor | None = None
    elsewhere_GD: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossOptions:
    """positive_weight: of a positive beside a negative in bce and sft. temperature: of softmax and kl.

    top_k: lambda weighs pairs of which at least one stands among the first so many, None for all.
    """

    positive_weight: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None


Loss = Callable[[Judged, LossOptions], Tensor]


def bce(judged: Judged, options: LossOptions) -> Tensor:
    """Mean of -log p(label) with p = sigmoid(logit): the paper's loss (arXiv 2506.05176, eq. 2) on yes and no alone."""
    return _mean(_pointwise(judged, judged.labels_GD, options), judged.real_GD)


def sft(judged: Judged, options: LossOptions) -> Tensor:
    """The paper's loss over all words: -log p(label) = bce - log(p(yes) + p(no))."""
    assert judged.elsewhere_GD is not None
    return bce(judged, options) + _mean(judged.elsewhere_GD, judged.real_GD)


def soft_bce(judged: Judged, options: LossOptions) -> Tensor:
    """bce against the teacher's probability of yes."""
    return _mean(_pointwise(judged, _teacher(judged).sigmoid(), options), judged.real_GD)


def softmax(judged: Judged, options: LossOptions) -> Tensor:
    """Cross-entropy of each positive among itself and the negatives, mean over the positives (InfoNCE)."""
    scores_GD = judged.logits_GD / options.temperature
    positive_GD, negative_GD = _kinds(judged)
    negatives_G1 = scores_GD.masked_fill(~negative_GD, -math.inf).logsumexp(-1, keepdim=True)
    return _mean(torch.logaddexp(scores_GD, negatives_G1) - scores_GD, positive_GD)


def ranknet(judged: Judged, options: LossOptions) -> Tensor:
    """Mean of softplus(s_no - s_yes) over the pairs of a positive and a negative (Burges et al. 2005)."""
    return _mean(functional.softplus(-_differences(judged.logits_GD)), _pairs(judged))


def lambda_loss(judged: Judged, options: LossOptions) -> Tensor:
    """NDCG-Loss2++ of LambdaLoss (Wang et al., CIKM 2018, eq. 16 and 18), mu = 10, in bits, mean over the pairs.

    Pairs of which either document stands in the top k count.
    """
    order_GD = judged.logits_GD.masked_fill(~judged.real_GD, -math.inf).argsort(dim=-1, descending=True, stable=True)
    placed = Judged(*(each.gather(1, order_GD) for each in (judged.logits_GD, judged.labels_GD, judged.real_GD)))
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


def margin_mse(judged: Judged, options: LossOptions) -> Tensor:
    """Squared error of the margins between positives and negatives beside the teacher's (arXiv 2010.02666)."""
    return _mean(_differences(judged.logits_GD - _teacher(judged)).square(), _pairs(judged))


def kl(judged: Judged, options: LossOptions) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) over a group (Hinton et al., arXiv 1503.02531)."""
    temperature, hidden_GD = options.temperature, ~judged.real_GD
    student_GD, teacher_GD = (
        (each / temperature).masked_fill(hidden_GD, -math.inf).log_softmax(-1)
        for each in (judged.logits_GD, _teacher(judged))
    )
    # 0 * (-inf - -inf) of a place without a document would be no number.
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
    """KL from the start model's yes/no distribution to the present one, mean over a group's documents, (G,)."""
    p_GD = start_GD.sigmoid()
    entropy_GD = functional.binary_cross_entropy_with_logits(start_GD, p_GD, reduction="none")
    crossed_GD = functional.binary_cross_entropy_with_logits(logits_GD, p_GD, reduction="none")
    return _mean(crossed_GD - entropy_GD, real_GD)


def mixed(mix: Mapping[str, float], judged: Judged, options: LossOptions) -> Tensor:
    """The weighted sum of losses, one a group, (G,)."""
    return torch.stack([weight * LOSSES[name](judged, options) for name, weight in mix.items()]).sum(0)


def _pointwise(judged: Judged, target_GD: Tensor, options: LossOptions) -> Tensor:
    weight = torch.tensor(options.positive_weight, device=target_GD.device)
    return functional.binary_cross_entropy_with_logits(judged.logits_GD, target_GD, pos_weight=weight, reduction="none")


def _teacher(judged: Judged) -> Tensor:
    assert judged.teacher_GD is not None
    return judged.teacher_GD


def _kinds(judged: Judged) -> tuple[Tensor, Tensor]:
    is_positive_GD = judged.labels_GD > 0.5
    return is_positive_GD & judged.real_GD, ~is_positive_GD & judged.real_GD


def _pairs(judged: Judged) -> Tensor:
    """Whether the first is a positive and the second a negative, (G, D, D)."""
    positive_GD, negative_GD = _kinds(judged)
    return positive_GD[:, :, None] & negative_GD[:, None, :]


def _differences(values_GD: Tensor) -> Tensor:
    return values_GD[:, :, None] - values_GD[:, None, :]


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of what counts in each group, (G,); 0 where nothing does."""
    first = values.masked_fill(~counted, 0.0).flatten(1).sum(1)
    mean_G: Tensor = first / counted.flatten(1).sum(1).clamp(min=1)
    return mean_G
