"""`app`: the whole server as an application of Ray Serve, one server in each replica."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import ray
from ray import serve
from ray.serve.config import BackpressureConfig
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.serve.application import open_application
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.log import logging_to_stderr, set_log_level
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.ray.scaling import WAITING_TOKENS
from qwen3_reranker.serve.routes.health import HealthRoutes
from qwen3_reranker.serve.server import SWITCH_SECONDS
from qwen3_reranker.serve.settings import ServerSettings, reloaded
from qwen3_reranker.serve.settings_sources import read_settings, settings_of

# What Ray does in their place: its proxies listen, and it ends readiness before it stops a replica.
_SETTINGS_OF_RAY = (
    "host",
    "port",
    "unix_socket",
    "trusted_proxies",
    "max_connections",
    "header_timeout",
    "drain_delay",
)
# From the end of the last request to the end of a replica: the usage is written and the model freed.
_CLOSING_SECONDS = 10.0


def app(args: dict[str, Any]) -> serve.Application:
    """Build the application: `serve run qwen3_reranker.serve.ray:app NAME=VALUE ...`, or `args` of a config file.

    args: settings of the server, and `config`, a TOML file of them; the environment counts as for
    `qwen3-reranker serve`. They are read once, here, and are the same for all replicas. Files that they name must lie
    on each machine. Raises InputError, also for a setting that is Ray's own.
    """
    flags = {name: value for name, value in args.items() if name != "config"}
    settings = read_settings(flags, args.get("config"))
    return deployment_of(settings).bind(settings)


def deployment_of(settings: ServerSettings) -> serve.Deployment:
    """The deployment for `bind(settings)`; `options` of it are Ray's. Raises InputError for a setting that is Ray's."""
    usual = ServerSettings()
    if unused := [name for name in _SETTINGS_OF_RAY if getattr(settings, name) != getattr(usual, name)]:
        raise InputError(f"on Ray its http_options and deployments say this: {', '.join(unused)}")
    return serve.deployment(
        name="server",
        # All requests go straight to the scheduler, which is fair to keys; Ray's own limit is 5.
        max_ongoing_requests=settings.max_requests,
        max_queued_requests=settings.max_requests,
        backpressure_config=BackpressureConfig(retry_after_s=1),
        graceful_shutdown_timeout_s=settings.shutdown_timeout + _CLOSING_SECONDS,
    )(serve.ingress()(Replica))


class Replica:
    """One server in a process of Ray. Raises what opening the models and the keys raises."""

    def __init__(self, settings: ServerSettings) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._settings = settings
        self._closing = ExitStack()
        self._closing.enter_context(logging_to_stderr(settings.log_format, settings.log_level))
        self.application = open_application(_in_replica(settings), version("qwen3_reranker"))
        self._closing.callback(self.application.close)
        self._health = HealthRoutes(self.application.context)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return BehindProxy(self.application.asgi, self._settings)

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take over settings that need no restart, as SIGHUP does elsewhere. Raises InputError for others."""
        now = self.application.context.settings
        wanted = _in_replica(settings_of(user_config, self._settings))
        settings, _, refused = reloaded(now, wanted)
        if refused:
            raise InputError(f"user_config cannot change these without a restart: {', '.join(refused)}; use args")
        await self.application.reload(settings)
        set_log_level(settings.log_level)

    async def check_health(self) -> None:
        """Raise UnavailableError if a model would not answer; Ray then starts another replica in its place."""
        if reason := self._health.unready_reason():
            raise UnavailableError(reason)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What the policy WaitingTokens reads."""
        models = self.application.context.models.all
        return {WAITING_TOKENS: float(sum(model.scheduler.stats().waiting_tokens for model in models))}

    def __del__(self) -> None:
        """Ray calls this once no request is left."""
        # Without the attribute the constructor had failed before.
        if closing := getattr(self, "_closing", None):
            closing.close()


class BehindProxy:
    """The application as Ray's HTTP proxies call it.

    Without keys and without `allow_public` only clients of the proxy's own machine are answered: the server cannot know
    on which address the proxies listen.
    """

    def __init__(self, application: ASGIApp, settings: ServerSettings) -> None:
        self._application = application
        self._only_local = settings.keys is None and not settings.allow_public
        if self._only_local and os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":
            raise InputError("behind HAProxy every client looks like this machine: set keys, or allow_public")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._only_local and not _is_local(scope.get("client")):
            problem = Problem(
                403, "permission_error", "local_only", "this server asks for no keys, so it answers its machine alone"
            )
            _, body = CANONICAL_ERROR.write(problem, "")
            await JsonResponse(body, problem.status)(scope, receive, send)
            return

        async def send_with_one_id(message: Message) -> None:
            # Ray adds the id of the request to each reply, the one that ours has as well.
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["x-request-id"]
            await send(message)

        await self._application(scope, receive, send_with_one_id)


def _is_local(client: Any) -> bool:
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except (TypeError, ValueError):
        return False


def assigned_cpus() -> int:
    """Whole CPUs that Ray has assigned to this process, at least 1."""
    return max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0)))


def _in_replica(settings: ServerSettings) -> ServerSettings:
    """The settings of a replica: threads as Ray has assigned CPUs, where a model's options do not say otherwise."""
    num_threads = assigned_cpus()
    models = tuple(replace(model, options={"num_threads": num_threads, **model.options}) for model in settings.models)
    # Ray's proxies listen. The address says whether others may be among the clients, and so which names are answered.
    host = "0.0.0.0" if settings.allow_public else settings.host
    return replace(settings, models=models, host=host)
