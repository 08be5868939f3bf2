"""`pip install .` alone ranks documents: no torch, no network, no repository beside it; without a compiler as well."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Whatever asks for the network after the installation is turned away here.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the package and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    # The pip of the tests installs into it: a pip of its own takes longer to install than the package.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install(folder / "bin" / "python")
    return folder / "bin" / "python"


def install(python: Path, *options: str, source: str = str(ROOT), **environment: str) -> None:
    """`pip install .`; compiled Python is left to be made when it is used."""
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    command = [*pip, "install", "--no-compile", "--constraint", ROOT / "constraints.txt", *options, source]
    subprocess.run(command, check=True, cwd=python.parent, env={**os.environ, **environment})


def without_compiler(folder: Path) -> dict[str, str]:
    """The environment of a machine that has none."""
    return {"CC": str(folder / "no-compiler"), "CXX": str(folder / "no-compiler")}


def test_an_installed_package_ranks_a_folder_without_torch_and_without_network(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "undo.md").write_text("To undo your last commit, run git reset --soft HEAD~1.\n")
    (folder / "rice.md").write_text("Rinse the rice, add water and let it simmer for twelve minutes.\n")
    command = [python.with_name("qwen3-reranker"), "rank", "take back my last commit", "docs"]
    environment = {**os.environ, **NO_NETWORK}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["source"] for hit in hits] == ["docs/undo.md", "docs/rice.md"]
    # Type checkers read the annotations of a package that says so.
    assert list(python.parents[1].glob("lib/*/site-packages/qwen3_reranker/py.typed"))
    drift = [python.with_name("qwen3-reranker"), "inspect", "nano", "--drift", "--format", "json"]
    done = subprocess.run(drift, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["drift"]["documents"] == 180
    probe = [python, "-c", "import torch"]
    assert subprocess.run(probe, capture_output=True, check=False).returncode == 1
    # Nor is the faster tokenizer there: the exact one encodes, and a log line says so.
    program = (
        "import logging; logging.basicConfig(level=logging.INFO); from qwen3_reranker import Reranker; "
        "from qwen3_reranker.tokens import Tokens; r = Reranker('nano'); "
        "tokens = Tokens(r.checkpoint.tokenizer, prefix='', suffix='', max_length=9, fast=True); "
        "print(type(tokens.text_encoder) is type(r.tokens.text_encoder))"
    )
    logged = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert logged.stdout == "True\n"
    assert "gigatoken is not used: it is not installed (the extra fast-tokenizer)" in logged.stderr
    refused = subprocess.run(
        [*command, "--backend", "torch"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert 'pip install "qwen3_reranker[torch]"' in refused.stderr


def test_another_extra_of_a_checkout_compiles_nothing(python: Path, tmp_path: Path) -> None:
    install(python, source=f"{ROOT}[search]", **without_compiler(tmp_path))
    program = "import bm25s; import qwen3_reranker_kernels as kernels; print(kernels.variants())"
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "portable" in done.stdout


def test_changed_kernels_are_compiled_again(python: Path, tmp_path: Path) -> None:
    changed = checkout(tmp_path / "changed")
    shutil.copytree(ROOT / "build" / "compiled", changed / "build" / "compiled")
    (changed / "native" / "binding.cpp").write_text("#error changed\n")
    install(python, "--force-reinstall", "--no-deps", source=str(changed), **without_compiler(tmp_path))
    assert not list(python.parents[1].glob("lib/*/site-packages/qwen3_reranker_kernels*"))


def checkout(folder: Path) -> Path:
    """A copy of what the package is made from, in which nothing was built."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for name in ("native", "qwen3_reranker"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_without_a_compiler_the_package_installs_and_the_reference_ranks_when_requested_by_name(
    python: Path, tmp_path: Path
) -> None:
    source = checkout(tmp_path / "checkout")
    install(python, "--force-reinstall", "--no-deps", source=str(source), **without_compiler(tmp_path))

    def rank(*options: str) -> subprocess.CompletedProcess[str]:
        command = [python.with_name("qwen3-reranker"), "rank", "q", "-", *options]
        return subprocess.run(command, cwd=tmp_path, input="one\ntwo\n", capture_output=True, text=True, check=False)

    refused = rank()
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert "C++17 compiler" in refused.stderr
    assert "--backend torch, or --backend reference with --precision float32" in refused.stderr
    assert len(rank("--backend", "reference", "--precision", "float32").stdout.splitlines()) == 2
