"""The vllm-server backend and a real vLLM server of nano that has no template."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from testing.faulty_proxy import FAULTS, faulty_proxy
from testing.vllm_server import vllm_server
from tests.backends.vllm.conftest import DOCUMENTS, QUERY

pytestmark = pytest.mark.slow

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; `make vllm` runs this in an environment of its own", allow_module_level=True)

COOKING = "Answer yes only if the document is a cooking recipe"


@pytest.fixture(scope="module")
def url(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(nano_folder, log=tmp_path_factory.mktemp("server") / "log") as url:
        yield url


def test_without_a_template_its_logits_are_those_of_the_model_here(url: str, local: Reranker) -> None:
    with Reranker("nano", backend="vllm-server", max_length=512, engine_options={"url": url}) as served:
        for instruction in (None, COOKING):
            found, expected = (each.score(QUERY, DOCUMENTS, instruction) for each in (served, local))
            moved = float(np.max(np.abs(found.logits - expected.logits)))
            print(f"vllm-server: logits within {moved:.1e}")
            assert moved < 1e-3
            assert found.receipts == expected.receipts


def test_a_faulty_network_loses_and_doubles_no_row(url: str, local: Reranker) -> None:
    with faulty_proxy(url, 0.3) as proxy:
        options = {"url": proxy.url, "timeout": 5, "max_documents": 2, "retries": 20}
        with Reranker("nano", backend="vllm-server", max_length=512, engine_options=options) as served:
            found, expected = served.score(QUERY, DOCUMENTS), local.score(QUERY, DOCUMENTS)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    assert sum(proxy.counts[fault] for fault in FAULTS)
