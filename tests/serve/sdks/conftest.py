"""One running server with keys for all SDKs, and the ways in which it refuses."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from qwen3_reranker.serve.accounts.key_records import KeyLimits
from qwen3_reranker.serve.accounts.store import Store
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from testing.live_server import Live, live_server
from testing.ray_serving import RayServer, ray_server

QUERY = "How do rainbows form?"
DOCUMENTS = [
    "The library opens at nine and closes at five.",
    "Rainbows form when sunlight is bent and reflected in drops of rain.",
    "",
    "Trains to the coast leave every hour.",
]
BEST = 1


# What is no fault of the server's: connections are left to the garbage collector, LiteLLM's log of a success to nobody.
_THEIRS = (
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:Exception ignored in. <function _SelectorTransport:pytest.PytestUnraisableExceptionWarning",
    "ignore:Exception ignored in. <coroutine object Logging:pytest.PytestUnraisableExceptionWarning",
)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Do not import the SDKs, which take seconds to load, where slow tests are left out."""
    return config.option.markexpr == "not slow" or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of an SDK is slow to import, and what the SDK warns of is not ours."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            for filtered in _THEIRS:
                item.add_marker(pytest.mark.filterwarnings(filtered))


@pytest.fixture(autouse=True)
def _collect_garbage() -> Iterator[None]:
    # What an SDK leaves behind comes to light in the test that made it.
    yield
    gc.collect()


@dataclass(frozen=True)
class Service:
    """A server for SDKs. key: a good key; spent: the key of somebody whose limits let nothing through."""

    server: Live | RayServer
    key: str
    spent: str

    @property
    def url(self) -> str:
        """Without /v1."""
        return self.server.url

    @contextmanager
    def draining(self) -> Iterator[None]:
        """Refuse everything with 503 for as long as a block lasts."""
        if isinstance(self.server, RayServer):
            pytest.skip("Ray drains a replica by itself")
        drain = self.server.application.context.drain
        drain.is_draining = True
        try:
            yield
        finally:
            drain.is_draining = False


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The bundled model and a small embedding model, with keys; TESTS_ON=ray has them on Ray Serve."""
    with serving_for_sdks(tmp_path_factory.mktemp("server"), on_ray=os.environ.get("TESTS_ON") == "ray") as served:
        yield served


@contextmanager
def serving_for_sdks(folder: Path, *, on_ray: bool) -> Iterator[Service]:
    """A server for SDKs in this process, or two replicas on Ray Serve."""
    keys = str(folder / "keys.db")
    store = Store(keys)
    key, _ = store.create_key("good")
    spent, _ = store.create_key("spent", limits=KeyLimits(tokens=1))
    store.close()
    base = write_small_checkpoint(folder / "base")
    embedding = write_embedding_model(folder / "embedding", base)
    models = ({"source": "nano"}, {"source": str(embedding), "id": "small-embedding", "kind": "embedder"})
    if on_ray:
        # The setting is changed as in a replica that runs.
        changed = {"max_documents": 900}
        with ray_server({"keys": keys, "models": models}, num_replicas=2, user_config=changed) as server:
            yield Service(server, key, spent)
    else:
        with live_server(keys=keys, models=models) as live:
            yield Service(live, key, spent)
