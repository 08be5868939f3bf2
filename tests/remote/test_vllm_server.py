"""A real vLLM server of the bundled model, used as a reranker: with the template of deploy/, and without one."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from testing.remote_agreement import differences, rank_through_a_faulty_network
from testing.vllm_server import vllm_server

pytestmark = pytest.mark.slow

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; `make vllm` runs this in an environment of its own", allow_module_level=True)

TEMPLATE = Path(__file__).parents[2] / "deploy" / "qwen3_reranker.jinja"
COOKING = "Answer yes only if the document is a cooking recipe"


@pytest.fixture(scope="module")
def url(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the template."""
    log = tmp_path_factory.mktemp("server") / "log"
    with vllm_server(nano_folder, "--chat-template", str(TEMPLATE), log=log) as url:
        yield url


def test_its_logits_are_those_of_the_model_here(url: str, nano: Reranker) -> None:
    with Reranker(url, check="error") as remote:
        assert isinstance(remote, RemoteReranker)
        assert remote.facts.raw == {"use_activation": False}
        logits, probabilities = differences(remote, nano)
        instructed, _ = differences(remote, nano, COOKING)
    print(f"vLLM: logits within {logits:.1e}, with an instruction {instructed:.1e}, probabilities {probabilities:.1e}")
    assert max(logits, probabilities, instructed) < 1e-3


def test_its_route_for_scores_gives_the_same(url: str, nano: Reranker) -> None:
    with Reranker(url, check="off", dialect="vllm-score") as remote:
        assert isinstance(remote, RemoteReranker)
        assert remote.gives_logits
        assert max(differences(remote, nano)) < 1e-3


def test_200_calls_through_a_faulty_network_lose_and_double_nothing(url: str, nano: Reranker) -> None:
    print(rank_through_a_faulty_network(url, nano, 1e-3))


def test_a_server_without_a_template_is_refused_when_it_connects(nano_folder: Path, tmp_path: Path) -> None:
    with vllm_server(nano_folder, log=tmp_path / "log") as url, pytest.raises(EndpointError, match="no-template"):
        Reranker(url, check="error")
