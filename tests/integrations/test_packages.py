"""The packages that hold our name in each ecosystem build, install and give the same classes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in (ROOT / "packages").glob("*/pyproject.toml"))
USES = {
    "langchain-qwen3-reranker": """
from langchain_core.documents import Document
from langchain_qwen3_reranker import Qwen3CrossEncoder, Qwen3DocumentCompressor, Qwen3Embeddings
[best] = Qwen3DocumentCompressor(top_n=1).compress_documents([Document("rice"), Document("git reset")], "undo a commit")
assert best.page_content == "git reset"
""",
    "llama-index-postprocessor-qwen3-reranker": """
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.qwen3_reranker import Qwen3Embedding, Qwen3Rerank
nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("rice", "git reset")]
[best] = Qwen3Rerank(top_n=1).postprocess_nodes(nodes, query_str="undo a commit")
assert best.text == "git reset"
""",
    "qwen3-reranker-haystack": """
from haystack import Document, Pipeline
from haystack_integrations.components.embedders.qwen3_reranker import Qwen3DocumentEmbedder, Qwen3TextEmbedder
from haystack_integrations.components.rankers.qwen3_reranker import Qwen3Ranker
pipeline = Pipeline()
pipeline.add_component("ranker", Qwen3Ranker(top_k=1))
pipeline.add_component("query", Qwen3TextEmbedder(model="some/model"))
pipeline.add_component("documents", Qwen3DocumentEmbedder(model="some/model", options={"dim": 64}))
text = pipeline.dumps()
assert text.count("type: haystack_integrations.components.") == 3, text
read = Pipeline.loads(text)
assert read.dumps() == text
ranker = read.get_component("ranker")
given = [Document(content=text) for text in ("rice", "git reset")]
[best] = ranker.run(query="undo a commit", documents=given)["documents"]
assert best.content == "git reset"
""",
}


def run(*command: str | Path, first_on_path: Path | None = None) -> None:
    environment = dict(os.environ)
    if first_on_path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, [first_on_path, *filter(None, sys.path)]))
    words = [sys.executable, *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheels of all packages are installed."""
    folder = tmp_path_factory.mktemp("packages")
    # setuptools writes beside what it builds.
    sources = [shutil.copytree(path, folder / "sources" / path.name) for path in PACKAGES]
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")
    run("-m", "pip", "wheel", *options, "--no-build-isolation", "--wheel-dir", folder / "wheels", *sources)
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == len(PACKAGES)
    run("-m", "pip", "install", *options, "--target", folder / "site", *wheels)
    return folder / "site"


def test_each_package_has_a_use() -> None:
    assert {path.name for path in PACKAGES} == set(USES)


@pytest.mark.parametrize("name", USES)
def test_a_built_and_installed_package_ranks(name: str, site: Path) -> None:
    run("-W", "error", "-c", USES[name], first_on_path=site)


def test_folders_that_a_package_shares_with_others_of_its_ecosystem_stay_namespaces(site: Path) -> None:
    holders = {path.parent.name for path in site.rglob("__init__.py")}
    assert holders == {"langchain_qwen3_reranker", "qwen3_reranker"}
