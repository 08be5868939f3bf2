"""Two replicas of the server on Ray Serve answer as one server does, whatever happens to one of them."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest

from testing.patience import PATIENCE_SECONDS, until
from testing.ray_serving import RayServer
from tests.serve.sdks.conftest import Service, serving_for_sdks

# The chosen part of the SDKs; TESTS_ON=ray runs all of tests/serve/sdks on Ray.
from tests.serve.sdks.test_openai import (
    client,
    test_documents_are_ranked_by_posting,
    test_models_are_listed,
    test_predicates_are_decided_asynchronously_and_under_an_instruction,
    test_texts_are_embedded,
)

pytestmark = pytest.mark.slow
__all__ = [
    "client",
    "test_documents_are_ranked_by_posting",
    "test_models_are_listed",
    "test_predicates_are_decided_asynchronously_and_under_an_instruction",
    "test_texts_are_embedded",
]

AT_ONCE = 16


@pytest.fixture(scope="module")
def service(package_path: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two replicas, with keys in SQLite."""
    with serving_for_sdks(tmp_path_factory.mktemp("ray"), on_ray=True) as served:
        yield served


@pytest.fixture
def on_ray(service: Service) -> RayServer:
    assert isinstance(service.server, RayServer)
    return service.server


class Load:
    """Requests of many clients at once, each with its own query; `replies` holds what came to each."""

    def __init__(self, service: Service, requests: int, documents: int) -> None:
        self._service = service
        self._documents = [f"Section {number} says what to do in case {number}." for number in range(documents)]
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self.replies: list[Future[httpx2.Response]] = [self._threads.submit(self._ask, n) for n in range(requests)]

    def _ask(self, number: int) -> httpx2.Response:
        return httpx2.post(
            f"{self._service.url}/v1/rerank",
            json={"query": f"case {number}", "documents": self._documents},
            headers={"authorization": f"Bearer {self._service.key}", "x-request-id": f"load-{number}"},
            timeout=PATIENCE_SECONDS,
        )

    def wait_for(self, replies: int) -> None:
        """Wait until so many have come."""
        until(lambda: sum(reply.done() for reply in self.replies) >= replies)

    def statuses(self) -> Counter[int]:
        """How many replies have which status, once all have come."""
        got = [reply.result() for reply in self.replies]
        self._threads.shutdown()
        assert [reply.headers["x-request-id"] for reply in got] == [f"load-{n}" for n in range(len(got))]
        for refused in (reply for reply in got if reply.status_code == 503):
            assert refused.headers["retry-after"]
            assert refused.json()["error"]["code"]
        return Counter(reply.status_code for reply in got)


def test_a_killed_replica_loses_no_request_and_another_takes_its_place(service: Service, on_ray: RayServer) -> None:
    before = on_ray.replicas()
    assert len(before) == 2
    load = Load(service, requests=80, documents=20)
    load.wait_for(10)
    before[0].kill()
    statuses = load.statuses()
    assert statuses.keys() <= {200, 503}
    # Each of those in flight went to the other replica once.
    assert statuses[200] >= 80 - AT_ONCE
    until(lambda: len(set(on_ray.replicas()) - {before[0]}) == 2)


def test_a_replica_that_is_stopped_ends_its_requests_first(service: Service, on_ray: RayServer) -> None:
    load = Load(service, requests=60, documents=20)
    load.wait_for(10)
    on_ray.redeploy(num_replicas=1)
    assert load.statuses() == {200: 60}
    until(lambda: len(on_ray.replicas()) == 1)
    on_ray.redeploy(num_replicas=2)


def test_replicas_share_the_keys_and_the_usage_of_one_machine(service: Service, on_ray: RayServer) -> None:
    def requests_in_all() -> int:
        reply = httpx2.get(f"{service.url}/v1/usage", headers={"authorization": f"Bearer {service.key}"})
        return sum(used["num_model_requests"] for bucket in reply.json()["data"] for used in bucket["results"])

    before = requests_in_all()
    assert Load(service, requests=30, documents=2).statuses() == {200: 30}
    until(lambda: requests_in_all() == before + 30)


def test_a_running_replica_takes_over_the_settings_of_its_user_config(service: Service) -> None:
    assert Load(service, requests=1, documents=900).statuses() == {200: 1}
    [reply] = [each.result() for each in Load(service, requests=1, documents=901).replies]
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "too_many_documents")
