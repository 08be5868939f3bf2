"""A variant that this processor does not run is refused by name, with those that it does run."""

import pytest
import qwen3_reranker_kernels as kernels

from qwen3_reranker.backends.cpu.kernels import variant
from qwen3_reranker.errors import UnavailableError


def test_a_variant_of_another_processor_is_refused_with_those_that_run_here() -> None:
    usable = kernels.variants()
    other = next(name for name in ("neon-dot", "avx2") if name not in usable)
    with pytest.raises(UnavailableError) as refused:
        variant(other)
    expected = f"the kernels '{other}' do not run on this processor; those that do are {', '.join(usable)}"
    assert str(refused.value) == expected
