"""Matrices in 8-bit floating point, with a scale for each output and each token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FLOAT8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(_FLOAT8).max
# A row of zeros still needs a scale that can be divided by.
_SMALLEST_SCALE = 1e-12


class Float8Linear(nn.Module):
    """A matrix rounded to float8 e4m3 row by row. States are rounded so too, as they come."""

    def __init__(self, weight_OD: Tensor) -> None:
        super().__init__()
        weight8_OD, scale_O1 = rounded(weight_OD)
        self.weight = nn.Parameter(weight8_OD, requires_grad=False)
        self.scale_1O = nn.Parameter(scale_O1.t().contiguous(), requires_grad=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        """The product, (T, outputs), in the type of `x_TD`."""
        x8_TD, scale_T1 = rounded(x_TD)
        return torch._scaled_mm(
            x8_TD, self.weight.t(), scale_a=scale_T1, scale_b=self.scale_1O, out_dtype=x_TD.dtype, use_fast_accum=True
        )


def rounded(x_TD: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in float8 and the scale of each, (T, 1) float32. The largest number of a row becomes 448."""
    scale_T1 = x_TD.abs().amax(dim=-1, keepdim=True).float().div(_LARGEST).clamp(min=_SMALLEST_SCALE)
    return (x_TD.float() / scale_T1).clamp(-_LARGEST, _LARGEST).to(_FLOAT8), scale_T1


def round_matrices(module: nn.Module) -> None:
    """Put a Float8Linear in the place of every matrix below `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Float8Linear(child.weight))
        else:
            round_matrices(child)
