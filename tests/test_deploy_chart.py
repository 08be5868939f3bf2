"""The Helm chart: Helm itself renders it, Kubernetes' schemas accept it, and the server reads the settings in it."""

from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from qwen3_reranker import __version__
from qwen3_reranker.serve.settings import ModelSettings
from qwen3_reranker.serve.settings_sources import read_settings

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "qwen3-reranker"
KEYS = {"secretName": "reranker-keys"}
EVERYTHING: dict[str, Any] = {
    **KEYS,
    "imagePullSecrets": [{"name": "registry"}],
    "autoscaling": {"enabled": True},
    "cache": {"enabled": True, "accessMode": "ReadWriteMany", "storageClassName": "nfs"},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}, "keySecret": {"name": "metrics-key"}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "cpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
NO_KEYS: dict[str, Any] = {"settings": {"allow_public": True}, "service": {"type": "LoadBalancer", "port": 8080}}
# Kinds of the Prometheus operator, which no schema of Kubernetes describes.
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What Helm makes of the chart, by kind."""
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(values, name="demo", namespace="search")
    found = [each for name, text in texts.items() if name.endswith(".yaml") for each in yaml.safe_load_all(text)]
    kinds = {each["kind"]: each for each in found if each}
    assert len(kinds) == sum(1 for each in found if each)
    return kinds


def test_helm_lint_finds_nothing_but_the_missing_icon() -> None:
    for values in (KEYS, EVERYTHING, NO_KEYS):
        report = helm.lint(CHART, values, strict=True)
        assert [each["error"] for each in report["messages"]] == ["icon is recommended"], values
        assert not report["errors"]


@pytest.mark.parametrize("values", [KEYS, EVERYTHING, NO_KEYS], ids=["keys", "everything", "no keys"])
def test_kubernetes_accepts_every_object(values: dict[str, Any]) -> None:
    objects = rendered(values)
    assert {"Deployment", "Service", "ConfigMap", "PodDisruptionBudget"} <= set(objects)
    for version in ("1.25", kubernetes_validate.latest_version()):
        for kind in set(objects) - OF_THE_OPERATOR:
            kubernetes_validate.validate(objects[kind], version, strict=True)


def test_what_is_switched_off_is_not_made() -> None:
    optional = {"HorizontalPodAutoscaler", "PersistentVolumeClaim"} | OF_THE_OPERATOR
    assert not optional & set(rendered(KEYS))
    everything = rendered(EVERYTHING)
    assert optional < set(everything)
    # A number of replicas in the deployment would undo the autoscaler at every upgrade.
    assert "replicas" not in everything["Deployment"]["spec"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no keys by accident": ({}, "secretName must name a Secret"),
    "a misspelt value": ({**KEYS, "replicaz": 3}, "replicaz"),
    "a port that no probe would find": ({**KEYS, "settings": {"port": 9000}}, "/settings/port"),
    "a secret in a ConfigMap": ({**KEYS, "settings": {"pepper": "salt"}}, "/settings/pepper"),
    "metrics that Prometheus may not read": ({**KEYS, "monitoring": {"enabled": True}}, "scope metrics"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_cannot_work_are_refused(name: str) -> None:
    values, says = REFUSED[name]
    with pytest.raises(helm.HelmError, match=says):
        rendered(values)


def test_the_server_reads_the_settings_of_the_chart_and_a_pod_lives_longer_than_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = {"source": "Qwen/Qwen3-Reranker-0.6B", "price": "0.02", "options": {"max_batch_tokens": 4096}}
    chosen = {
        "models": [model],
        "timeout": 2.5,
        "drain_delay": 7.5,
        "shutdown_timeout": 20,
        "max_waiting_tokens": 3_000_000,
        "allow_public": True,
        "public_metrics": True,
        "log_format": "json",
    }
    objects = rendered({"settings": chosen})
    variables = objects["ConfigMap"]["data"]
    # The file of keys that the image names, which a value without text takes back.
    monkeypatch.setenv("QWEN3_RERANKER_KEYS", "/data/keys.db")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    settings = read_settings({})
    [served] = settings.models
    assert served == ModelSettings(**{**model, "price": served.price})
    assert isinstance(served.options["max_batch_tokens"], int)
    assert settings.keys is None
    assert all(getattr(settings, name) == value for name, value in chosen.items() if name != "models")
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.drain_delay + settings.shutdown_timeout + 10


def test_the_version_of_the_chart_is_the_packages() -> None:
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert facts["version"] == facts["appVersion"] == __version__
