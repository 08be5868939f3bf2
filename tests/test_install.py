"""One wheel, on machines of strangers: no torch, no network, no repository beside it, and no compiler.

Also what a checkout compiles: once for all extras, and again when the kernels change.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A stranger has nothing of ours on the path of modules.
STRANGER = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
# Whatever asks for the network after the installation is turned away here.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
NO_COMPILER = {"CC": "/no-compiler", "CXX": "/no-compiler"}
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout. It compiles nothing where the kernels were compiled from the same files before."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, cwd=folder, env=STRANGER)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The Python of an environment with the package and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    # The pip of the tests installs into it: a pip of its own takes longer to install than the package.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install(folder / "bin" / "python", str(wheel), "--only-binary", ":all:")
    return folder / "bin" / "python"


def install(python: Path, what: str, *options: str) -> None:
    """`pip install` where no compiler is to be found; compiled Python is left to be made when it is used."""
    pip = [*PIP, "--python", python, "install", "--no-compile", "--constraint", ROOT / "constraints.txt", *options]
    # Nothing of a system's folders is on the path, but what builds from source needs cmake and make.
    path = {"PATH": str(python.parent)} if "--only-binary" in options else {}
    subprocess.run([*pip, what], check=True, cwd=python.parent, env={**STRANGER, **NO_COMPILER, **path})


def checkout(folder: Path) -> Path:
    """A copy of what the package is made from, in which nothing was built."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for name in ("native", "qwen3_reranker"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_wheel_says_what_it_is_and_holds_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = archive.read(metadata).decode()
    # Type checkers read the annotations of a package that says so.
    assert "qwen3_reranker/py.typed" in names
    assert {name.partition("/licenses/")[2] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert {name.split("/")[0].split(".")[0] for name in names} == {
        "qwen3_reranker",
        "qwen3_reranker_kernels",
        metadata.split(".")[0],
    }
    for field in ("License-Expression: Apache-2.0", "Classifier: Typing :: Typed", "Project-URL: Source, "):
        assert f"\n{field}" in said
    # The largest file that PyPI takes without asking.
    assert wheel.stat().st_size < 100e6


def test_an_installed_package_ranks_a_folder_without_torch_and_without_network(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "undo.md").write_text("To undo your last commit, run git reset --soft HEAD~1.\n")
    (folder / "rice.md").write_text("Rinse the rice, add water and let it simmer for twelve minutes.\n")
    command = [python.with_name("qwen3-reranker"), "rank", "take back my last commit", "docs"]
    environment = {**STRANGER, **NO_NETWORK, **NO_COMPILER, "PATH": str(python.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["source"] for hit in hits] == ["docs/undo.md", "docs/rice.md"]
    drift = [python.with_name("qwen3-reranker"), "inspect", "nano", "--drift", "--format", "json"]
    done = subprocess.run(drift, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["drift"]["documents"] == 180
    probe = [python, "-c", "import torch"]
    assert subprocess.run(probe, capture_output=True, check=False, env=environment).returncode == 1
    # Nor is the faster tokenizer there: the exact one encodes, and a log line says so.
    program = (
        "import logging; logging.basicConfig(level=logging.INFO); from qwen3_reranker import Reranker; "
        "from qwen3_reranker.tokens import Tokens; r = Reranker('nano'); "
        "tokens = Tokens(r.checkpoint.tokenizer, prefix='', suffix='', max_length=9, fast=True); "
        "print(type(tokens.text_encoder) is type(r.tokens.text_encoder))"
    )
    command_line = [python, "-c", program]
    logged = subprocess.run(command_line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert logged.stdout == "True\n"
    # The kernels came compiled: the variant is named.
    assert "the first this processor runs of" in logged.stderr
    assert "gigatoken is not used: it is not installed (the extra fast-tokenizer)" in logged.stderr
    refused = subprocess.run(
        [*command, "--backend", "torch"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert 'pip install "qwen3_reranker[torch]"' in refused.stderr


def test_another_extra_of_the_wheel_installs_only_wheels(python: Path, wheel: Path, tmp_path: Path) -> None:
    install(python, f"qwen3_reranker[search] @ {wheel.as_uri()}", "--only-binary", ":all:")
    subprocess.run([python, "-c", "import bm25s"], cwd=tmp_path, check=True, env=STRANGER)


def test_another_extra_of_a_checkout_compiles_nothing(python: Path, tmp_path: Path) -> None:
    install(python, f"{ROOT}[search]", "--force-reinstall", "--no-deps")
    program = "import qwen3_reranker_kernels as kernels; print(kernels.variants())"
    command = [python, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=STRANGER, capture_output=True, text=True, check=True)
    assert "portable" in done.stdout


def test_what_was_compiled_from_other_kernels_is_not_used(python: Path, tmp_path: Path) -> None:
    changed = checkout(tmp_path / "changed")
    shutil.copytree(ROOT / "build" / "compiled", changed / "build" / "compiled")
    with (changed / "native" / "binding.cpp").open("a") as source:
        source.write("// changed\n")
    install(python, str(changed), "--force-reinstall", "--no-deps")
    assert not list(python.parents[1].glob("lib/*/site-packages/qwen3_reranker_kernels*"))


def test_without_a_compiler_a_checkout_installs_and_the_reference_ranks_when_requested_by_name(
    python: Path, tmp_path: Path
) -> None:
    install(python, str(checkout(tmp_path / "checkout")), "--force-reinstall", "--no-deps")

    def rank(*options: str) -> subprocess.CompletedProcess[str]:
        command = [python.with_name("qwen3-reranker"), "rank", "q", "-", *options]
        return subprocess.run(
            command, cwd=tmp_path, input="one\ntwo\n", capture_output=True, text=True, check=False, env=STRANGER
        )

    refused = rank()
    assert refused.returncode == 4
    assert refused.stderr.count("\n") == 1
    assert "C++17 compiler" in refused.stderr
    assert "--backend torch, or --backend reference with --precision float32" in refused.stderr
    assert len(rank("--backend", "reference", "--precision", "float32").stdout.splitlines()) == 2
