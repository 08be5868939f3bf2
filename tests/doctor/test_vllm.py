"""The doctor and a real vLLM server of nano: without a template, with one that loses its end, and with ours."""

import json
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.doctor import DoctorReport, Endpoint, check_endpoint
from testing.chat_templates import plain
from testing.vllm_server import vllm_server
from tests.doctor.conftest import Case, found

pytestmark = pytest.mark.slow

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; `make vllm` runs this in an environment of its own", allow_module_level=True)

TEMPLATE = Path(__file__).parents[2] / "deploy" / "qwen3_reranker.jinja"
QUERY = "take back my last commit"
DOCUMENTS = ["Simmer the rice for twelve minutes.", "git reset --soft HEAD~1 undoes the last commit.", "List all tags."]
INSTRUCTION = "Given a question about git, find the command that answers it"


def report(url: str, nano: Case) -> DoctorReport:
    return check_endpoint(Endpoint(url), nano.reference)


def scores(url: str, **fields: str) -> list[float]:
    """What /score gives for the documents, in their order."""
    body = {"text_1": QUERY, "text_2": DOCUMENTS, **fields}
    request = urllib.request.Request(
        f"{url}/score", json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return [entry["score"] for entry in json.load(response)["data"]]


def test_a_server_without_a_template_is_named_so(nano_folder: Path, nano: Case, tmp_path: Path) -> None:
    with vllm_server(nano_folder, log=tmp_path / "log") as url:
        assert "no-template" in found(report(url, nano))


def test_a_template_that_ends_in_one_newline_loses_it(nano_folder: Path, nano: Case, tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text(plain().removesuffix("\n"), encoding="utf-8")
    with vllm_server(nano_folder, "--chat-template", str(template), log=tmp_path / "log") as url:
        assert "lost-newline" in found(report(url, nano))


def test_the_template_of_deploy_leaves_the_control_tokens_of_texts_alone(
    nano_folder: Path, nano: Case, tmp_path: Path
) -> None:
    with vllm_server(nano_folder, "--chat-template", str(TEMPLATE), log=tmp_path / "log") as url:
        assert found(report(url, nano)) == ["control-tokens-parsed"]
        reranker = nano.model.reranker
        pairs = [(QUERY, document) for document in DOCUMENTS]
        np.testing.assert_allclose(scores(url), reranker.probabilities(pairs), atol=1e-4)
        instructed = reranker.probabilities(pairs, INSTRUCTION)
        np.testing.assert_allclose(scores(url, instruction=INSTRUCTION), instructed, atol=1e-4)
