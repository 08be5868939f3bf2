"""What is published: names, files that say who and what, workflows, and what a plain import loads."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import qwen3_reranker

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_a_plain_import_loads_no_library_and_nothing_slow_of_the_standard_one() -> None:
    program = "import sys; before = set(sys.modules); import {}; print('\\n'.join(set(sys.modules) - before))"
    slow = {"asyncio", "dataclasses", "email", "http", "importlib.metadata", "inspect", "logging", "multiprocessing"}
    for module in ("qwen3_reranker", "qwen3_reranker.compat"):
        command = [sys.executable, "-c", program.format(module)]
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        libraries = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names - {"qwen3_reranker"}
        assert not libraries
        assert not slow & set(loaded)


def test_the_command_has_the_name_of_the_distribution_so_that_uvx_and_pipx_find_it() -> None:
    normalised = re.sub(r"[-_.]+", "-", PROJECT["name"]).lower()
    assert list(PROJECT["scripts"]) == [normalised]
    assert json.loads((ROOT / "server.json").read_text(encoding="utf-8"))["packages"][0]["identifier"] == normalised


def test_every_file_that_names_the_version_names_the_same() -> None:
    assert PROJECT["version"] == qwen3_reranker.__version__
    assert read_yaml("CITATION.cff")["version"] == qwen3_reranker.__version__
    assert json.loads((ROOT / "server.json").read_text(encoding="utf-8"))["version"] == qwen3_reranker.__version__
    assert read_yaml("deploy/helm/qwen3-reranker/Chart.yaml")["appVersion"] == qwen3_reranker.__version__
    assert f"ARG VERSION={qwen3_reranker.__version__}\n" in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")


def test_the_sdist_takes_every_folder_that_git_has() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a checkout")
    kept = {name.removeprefix("/") for name in PYPROJECT["tool"]["scikit-build"]["sdist"]["include"]}
    assert {name.split("/")[0] for name in listed if "/" in name} <= kept


def test_every_pin_that_is_installed_has_the_oldest_python_that_the_project_promises() -> None:
    oldest = f"{PROJECT['requires-python'].removeprefix('>=')}.0"
    pins = dict(
        re.findall(r"^([^#\s=]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    installed = [each for each in distributions() if pins.get(each.name) == each.version]
    assert installed
    required = {each.name: each.metadata["Requires-Python"] for each in installed if "Requires-Python" in each.metadata}
    assert {name: least for name, least in required.items() if oldest not in SpecifierSet(least)} == {}


def test_continuous_integration_installs_each_python_that_the_classifiers_name_and_some_that_they_do_not_yet() -> None:
    tried = read_yaml(".github/workflows/ci.yml")["jobs"]["install"]["strategy"]["matrix"]["python"]
    named = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), flags=re.MULTILINE)
    assert set(named) <= set(tried)
    assert PROJECT["requires-python"] == f">={tried[0]}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_what_they_run_and_may_only_read_unless_a_job_says_more(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
        # A file that is run is there, and no expression is pasted into a shell.
        for file in re.findall(r"(?:^|\s)((?:\.ci|release)/\S+)", step.get("run", "")):
            assert (ROOT / file).exists()
        assert "${{" not in step.get("run", "")


def test_only_a_tag_publishes_and_without_a_stored_token() -> None:
    jobs = read_yaml(".github/workflows/release.yml")["jobs"]
    publish = jobs.pop("publish")
    assert publish["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
    assert set(publish["needs"]) == set(jobs)
    assert publish["permissions"]["id-token"] == "write"
    assert not any("id-token" in job.get("permissions", {}) for job in jobs.values())
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_a_form_for_issues_asks_for_what_is_needed_and_names_each_answer_once(form: Path) -> None:
    fields = yaml.safe_load(form.read_text(encoding="utf-8"))["body"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    assert any(field.get("validations", {}).get("required") for field in fields)
