"""The compose file, the alerts and the board: they parse by their own programs and name metrics that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from qwen3_reranker.cli import main
from qwen3_reranker.serve.settings import ServerSettings
from qwen3_reranker.serve.settings_sources import read_settings
from testing.live_server import live_server

DEPLOY = Path(__file__).parents[1] / "deploy"
ALERTS = DEPLOY / "helm" / "qwen3-reranker" / "alerts.yaml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
PANELS = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))["panels"]
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file as Docker Compose reads it."""
    program = Path(sys.executable).with_name("docker-compose")
    command = [program, "--file", DEPLOY / "compose.yaml", "config", "--format", "json"]
    done = subprocess.run(
        command, env={**os.environ, "POSTGRES_PASSWORD": "secret"}, capture_output=True, text=True, check=True
    )
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_every_metric_of_the_alerts_and_the_board_is_one_of_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expressions = [rule["expr"] for rule in RULES]
    expressions += [target["expr"] for panel in PANELS for target in panel["targets"]]
    # What the autoscaler asks for, and the rule that gives it to Kubernetes.
    pages = (ALERTS.parent / "templates" / "autoscaler.yaml", DEPLOY.parent / "docs" / "deploy.md")
    expressions += [page.read_text(encoding="utf-8") for page in pages]
    named = {name for each in expressions for name in re.findall(r"\b(?:rerank|process)_\w+", each)}
    assert len(named) > 8
    store = str(tmp_path / "keys.db")
    assert main(["keys", "create", "Prometheus", "--scopes", "metrics", "--keys", store]) == 0
    headers = {"authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    with live_server(keys=store) as server:
        page = httpx2.get(f"{server.url}/metrics", headers=headers).text
    # A counter has samples once it has counted, and its type from the start.
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, flags=re.MULTILINE))
    samples = {f"{name}_bucket" if kind == "histogram" else name for name, kind in types.items()}
    assert named <= samples, named - samples


@needs_promtool
def test_prometheus_reads_the_expressions_of_the_board(tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [
        {"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "1m")} for n, expr in enumerate(expressions)
    ]
    file = tmp_path / "board.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    subprocess.run(["promtool", "check", "rules", file], check=True, capture_output=True)


def series(status: int, each_minute: int) -> dict[str, str]:
    """A counter of requests with this status."""
    return {"series": f'rerank_requests_total{{status="{status}"}}', "values": f"0+{each_minute}x30"}


ALARMS: dict[str, tuple[list[dict[str, str]], list[str]]] = {
    "all is well": ([series(200, 1000), series(503, 1), series(500, 1)], []),
    "the server fails": ([series(200, 100), series(500, 5)], ["RerankerFails"]),
    "too much is asked of it": ([series(200, 100), series(503, 20), series(504, 5)], ["RerankerOverloaded"]),
    "it is gone": ([], ["RerankerGone"]),
    "keys are out of reach": (
        [
            {"series": f'rerank_accounts_up{{instance="{name}"}}', "values": f"{value}x30"}
            for name, value in (("a", 0), ("b", 1))
        ],
        ["RerankerCannotReachKeys"],
    ),
    "connections are short": (
        [{"series": 'rerank_connections_refused_total{reason="too_many_connections"}', "values": "0+1x30"}],
        ["RerankerRefusesConnections"],
    ),
    "requests wait": (
        [
            {"series": f'rerank_queue_wait_seconds_bucket{{model="nano", le="{le}"}}', "values": f"0+{n}x30"}
            for le, n in (("5.0", 10), ("10.0", 100), ("+Inf", 100))
        ],
        ["RerankerQueueIsLong"],
    ),
}


@needs_promtool
@pytest.mark.parametrize("name", ALARMS)
def test_an_alert_fires_when_and_only_when(name: str, tmp_path: Path) -> None:
    given, fires = ALARMS[name]
    up = [] if name == "it is gone" else [{"series": "rerank_build_info", "values": "1x30"}]
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    expected = {rule["alert"]: {"alertname": rule["alert"], "eval_time": "20m"} for rule in RULES}
    for alert in fires:
        annotations = next(rule for rule in RULES if rule["alert"] == alert)["annotations"]
        labels = {"model": "nano"} if "$labels.model" in annotations["summary"] else {}
        summary = annotations["summary"].replace("{{ $labels.model }}", "nano")
        summary = summary.replace("{{ humanizeDuration $value }}", "9.722s")
        expected[alert]["exp_alerts"] = [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]
    test = {"interval": "1m", "input_series": given + up, "alert_rule_test": list(expected.values())}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_server_of_the_compose_file_reads_its_settings(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = compose["services"]["reranker"]
    for name, text in reranker["environment"].items():
        monkeypatch.setenv(name, text)
    settings = read_settings({})
    assert settings.keys == "postgresql://reranker:secret@db/reranker"
    webui = compose["services"]["open-webui"]["environment"]
    assert webui["RAG_RERANKING_MODEL"] in {model.name for model in settings.models}
    assert webui["RAG_EXTERNAL_RERANKER_URL"] == "http://reranker:8000/v1/rerank"
    usual = ServerSettings()
    assert reranker["stop_grace_period"] == "45s"
    assert usual.drain_delay + usual.shutdown_timeout + 5 < 45


def test_the_first_keys_are_made_once_and_the_one_for_prometheus_reads_metrics(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    service = compose["services"]["first-keys"]
    store = str(tmp_path / "keys.db")
    # The image has the program in its path; here the tests' environment has it.
    program = tmp_path / "bin" / "qwen3-reranker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qwen3_reranker "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "QWEN3_RERANKER_KEYS": store, "PYTHONPATH": str(DEPLOY.parent)}
    made = []
    for _ in range(2):
        subprocess.run([*service["entrypoint"], *service["command"]], cwd=tmp_path, env=environment, check=True)
        made.append([(tmp_path / name).read_text().strip() for name in ("webui.key", "prometheus.key")])
    assert made[0] == made[1]
    webui, prometheus = made[0]
    with live_server(keys=store) as server:

        def status(key: str, path: str, **given: Any) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return httpx2.request("POST" if given else "GET", server.url + path, headers=headers, **given).status_code

        # The request of Open WebUI 0.12, retrieval/models/external.py.
        request = {"model": "nano", "query": "q", "documents": ["a", "b"], "top_n": 2}
        assert status(webui, "/v1/rerank", json=request) == 200
        assert status(webui, "/metrics") == 403
        assert status(prometheus, "/metrics") == 200
        assert status(prometheus, "/v1/rerank", json=request) == 403


@needs_promtool
def test_prometheus_reads_the_configuration_of_the_compose_file(compose: dict[str, Any], tmp_path: Path) -> None:
    key = tmp_path / "prometheus.key"
    key.write_text("key")
    text = compose["configs"]["prometheus"]["content"].replace("/keys/prometheus.key", str(key))
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(compose["configs"]["alerts"]["file"], tmp_path / "alerts.yaml")
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
