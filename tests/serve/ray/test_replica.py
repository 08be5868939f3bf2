"""One replica, and the application's arguments, without a cluster."""

import asyncio
import warnings
from typing import Any

import pytest
import yaml
from starlette.types import Message, Receive, Scope, Send

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.serve.settings_sources import settings_of
from tests.test_readme import ROOT, blocks_of

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    # Ray's classes are written for an older pydantic.
    warnings.simplefilter("ignore")
    from ray.serve.config import AutoscalingConfig
    from ray.serve.schema import ServeDeploySchema

from qwen3_reranker.serve.ray import app, deployment  # noqa: E402
from qwen3_reranker.serve.ray.deployment import BehindProxy, Replica, deployment_of  # noqa: E402


def test_the_config_file_is_that_of_the_page_and_of_ray_and_its_settings_are_those_of_the_server() -> None:
    written = yaml.safe_load((ROOT / "deploy/ray_serve.yaml").read_text(encoding="utf-8"))
    page = (ROOT / "docs/ray-serve.md").read_text(encoding="utf-8")
    assert written in [yaml.safe_load(code) for language, code in blocks_of(page) if language == "yaml"]
    config = ServeDeploySchema.model_validate(written)
    [application] = config.applications
    assert application.import_path == "qwen3_reranker.serve.ray:app"
    [told] = application.deployments
    assert told.name == deployment_of(settings_of(application.args)).name
    settings_of(told.user_config)
    scaling = AutoscalingConfig(**told.autoscaling_config)
    assert scaling.policy.get_policy().__name__ == "WaitingTokens"
    scaling.policy.get_policy()(**scaling.policy.policy_kwargs)
    app(application.args)


def test_arguments_are_read_as_those_of_the_server_and_words_of_a_command_line_too() -> None:
    made = deployment_of(settings_of({"max_requests": "33"}))
    assert made.max_ongoing_requests == 33
    with pytest.raises(InputError, match="max_documnets"):
        app({"max_documnets": 7})


def test_a_setting_that_is_rays_own_is_refused() -> None:
    with pytest.raises(InputError, match="http_options and deployments say this: port, drain_delay"):
        app({"port": 80, "drain_delay": 3})


async def _answers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"1"), (b"a", b"b")]})


def reply_to(address: str, **fields: Any) -> Message:
    """The start of the reply to a client at an address, by a server of these settings."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": (address, 1)}
    asyncio.run(BehindProxy(_answers, settings_of(fields))(scope, receive, send))
    return sent[0]


def test_without_keys_only_clients_of_the_machine_are_answered() -> None:
    assert reply_to("127.0.0.1")["status"] == reply_to("::1")["status"] == 200
    assert reply_to("192.0.2.1")["status"] == reply_to("unknown")["status"] == 403
    assert reply_to("192.0.2.1", allow_public=True)["status"] == reply_to("192.0.2.1", keys="k.db")["status"] == 200


def test_without_keys_nothing_is_served_behind_haproxy_which_hides_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    with pytest.raises(InputError, match="HAProxy"):
        reply_to("127.0.0.1")
    assert reply_to("127.0.0.1", keys="k.db")["status"] == 200


def test_the_id_of_a_request_is_left_to_ray_which_adds_it_once() -> None:
    assert reply_to("127.0.0.1")["headers"] == [(b"a", b"b")]


def test_a_replica_is_unhealthy_once_its_model_would_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "assigned_cpus", lambda: 1)
    replica = Replica(settings_of({"log_level": "error"}))
    try:
        asyncio.run(replica.check_health())
        assert asyncio.run(replica.record_autoscaling_stats()) == {"waiting_tokens": 0.0}
        with pytest.raises(InputError, match="cannot change these without a restart: keys"):
            asyncio.run(replica.reconfigure({"keys": "other.db"}))
        asyncio.run(replica.reconfigure({"max_documents": 3}))
        [model] = replica.application.context.models.all
        assert (replica.application.context.settings.max_documents, model.model.options.num_threads) == (3, 1)
        model.scheduler.close()
        with pytest.raises(UnavailableError, match="its thread has ended"):
            asyncio.run(replica.check_health())
    finally:
        replica.__del__()
