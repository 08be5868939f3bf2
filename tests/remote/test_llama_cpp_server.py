"""A real llama.cpp server of the bundled model, used as a reranker: what it scores, refuses and loses."""

from collections.abc import Iterator
from importlib.util import find_spec
from os import environ
from pathlib import Path

import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.doctor import Endpoint, ReferenceModel, check_endpoint
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.remote.pair_scoring import UnscoredError
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.weights import open_checkpoint
from testing.llama_cpp_server import VARIABLE, llama_cpp_server
from testing.remote_agreement import DOCUMENTS, QUERIES, differences, rank_through_a_faulty_network
from tests.doctor.conftest import found

pytestmark = pytest.mark.slow

if find_spec("xllamacpp") is None and VARIABLE not in environ:
    pytest.skip("no llama.cpp server; `make llama-cpp` runs this in an environment of its own", allow_module_level=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as a GGUF file in float32."""
    return convert(open_checkpoint("nano"), tmp_path_factory.mktemp("model") / "nano.gguf", "gguf", "f32").path


@pytest.fixture(scope="module")
def url(file: Path) -> Iterator[str]:
    """A server of that file."""
    with llama_cpp_server(file, log=file.parent / "log") as url:
        yield url


def test_it_scores_as_the_model_here_does_and_the_quick_check_finds_nothing(url: str, nano: Reranker) -> None:
    with Reranker(url, check="error") as remote:
        assert isinstance(remote, RemoteReranker)
        # Its rank head ends in a softmax, and no field of a request undoes that.
        assert not remote.gives_logits
        logits, probabilities = differences(remote, nano)
    print(f"llama.cpp, float32 file: logits within {logits:.1e}, probabilities within {probabilities:.1e}")
    assert logits < 2e-3
    assert probabilities < 1e-3


def test_the_doctor_names_what_no_file_can_mend(url: str, nano: Reranker) -> None:
    assert found(check_endpoint(Endpoint(url), ReferenceModel(nano))) == [
        "instruction-ignored",
        "control-tokens-parsed",
    ]


def test_an_instruction_is_refused_as_its_prompt_is_in_the_file(url: str) -> None:
    with Reranker(url, check="off") as remote, pytest.raises(InputError, match="takes no instruction"):
        remote.rank(QUERIES[0], DOCUMENTS, instruction="Find recipes")


def test_a_document_beyond_its_context_is_named_and_the_others_are_not(url: str) -> None:
    with Reranker(url, check="off") as remote, pytest.raises(UnscoredError, match="document 1 was not") as caught:
        remote.score(QUERIES[0], [DOCUMENTS[0], "word " * 9000, DOCUMENTS[1]])
    assert caught.value.places == ((0, 1),)


def test_a_file_without_the_rerank_template_is_named(file: Path, tmp_path: Path) -> None:
    # The same field under a name of the same length that nothing reads.
    content = file.read_bytes().replace(b"tokenizer.chat_template.rerank", b"tokenizer.chat_template.unread")
    (bare := tmp_path / "bare.gguf").write_bytes(content)
    with llama_cpp_server(bare, log=tmp_path / "log") as url, pytest.raises(EndpointError, match="no-template"):
        Reranker(url, check="error")


def test_200_calls_through_a_faulty_network_lose_and_double_nothing(url: str, nano: Reranker) -> None:
    # Its rounding moves one logit in a thousand by more than 0.002; two documents are further apart.
    print(rank_through_a_faulty_network(url, nano, 0.02))
