"""What every test may ask for: the real Qwen3 tokenizer, unpacked and loaded once, small models, and a server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from qwen3_reranker import Reranker, prompt
from qwen3_reranker.convert import convert
from qwen3_reranker.tokens import TokenizerJson, Tokens
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_small_checkpoint
from testing.tokenizer import unpack_tokenizer

if TYPE_CHECKING:
    from testing.live_server import Live

# How long an example takes says how loaded the machine is, and nothing of what is tested.
settings.register_profile("all", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
settings.register_profile("quick", settings.get_profile("all"), max_examples=40)


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples of each property where slow tests are left out."""
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "all")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file of slow tests that are left out: its libraries take seconds to load."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that processes that share the files end at the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _heed_control_c() -> None:
    # A job in the background of a shell is started deaf to Ctrl-C, and what it starts inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def package_path() -> Iterator[None]:
    """Programs that a module's tests start, in whatever folder, import this checkout's package."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def qwen3_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer of Qwen3-Reranker as a file."""
    return unpack_tokenizer(tmp_path_factory.mktemp("qwen3-tokenizer"))


@pytest.fixture(scope="session")
def qwen3_tokenizer(qwen3_tokenizer_file: Path) -> TokenizerJson:
    """Its fields."""
    return TokenizerJson.read(qwen3_tokenizer_file)


@pytest.fixture(scope="session")
def qwen3_tokens(qwen3_tokenizer: TokenizerJson) -> Tokens:
    """Rows of the card's prompt in the real tokenizer's tokens; it takes a second to load."""
    card = prompt.template("card")
    return Tokens(qwen3_tokenizer, prefix=card.prefix, suffix=card.suffix, max_length=8192, fast=True)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of a few thousand weights behind a tokenizer of few words."""
    return write_small_checkpoint(tmp_path_factory.mktemp("small"), initializer_range=0.2)


@pytest.fixture(scope="session")
def small_reranker(small_checkpoint: Path) -> Reranker:
    """The small checkpoint, loaded with every default."""
    return Reranker(str(small_checkpoint))


@pytest.fixture(scope="module")
def nano() -> Iterator[Reranker]:
    """The bundled model, with every default."""
    with Reranker("nano") as nano:
        yield nano


@pytest.fixture(scope="session")
def nano_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as vLLM reads it."""
    return convert(open_checkpoint("nano"), tmp_path_factory.mktemp("model") / "nano", "hf").path


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server of the bundled model, with every default."""
    # An environment for one other engine has no libraries of the server.
    from testing.live_server import live_server

    with live_server() as live:
        yield live
