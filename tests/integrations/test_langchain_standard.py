"""LangChain's standard tests of embeddings, with our class."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from qwen3_reranker.integrations.langchain import Qwen3Embeddings

class Ours:
    embeddings_class = Qwen3Embeddings
    embedding_model_params = {"model": MODEL}

class TestUnit(Ours, EmbeddingsUnitTests): ...
class TestIntegration(Ours, EmbeddingsIntegrationTests): ...
"""


def test_langchains_standard_tests_of_embeddings_pass(embedding_model: Path, tmp_path: Path) -> None:
    # Plugins that langchain-tests brings would change other tests here, so its own run in a process of their own.
    (tmp_path / "test_standard.py").write_text(PROGRAM.replace("MODEL", repr(str(embedding_model))), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_asyncio.plugin", str(tmp_path)]
    variables = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout, done.stdout
