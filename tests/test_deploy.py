"""deploy/: the image and the unit name files, settings and extras that exist, and the server runs within the unit."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.convert.hf_folder import chat_template
from qwen3_reranker.prompt import DEFAULT_INSTRUCTION, template
from qwen3_reranker.serve.settings import ServerSettings
from qwen3_reranker.serve.settings_sources import FILE_VARIABLE, PREFIX
from testing.chat_templates import rendered, rendered_by_sglang
from testing.live_server import live_server, server_process

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
UNIT = (DEPLOY / "qwen3-reranker.service").read_text(encoding="utf-8")
SETTINGS = {f"{PREFIX}{field.name}".upper() for field in fields(ServerSettings)} | {FILE_VARIABLE}
# Loads a filter of system calls as systemd does, refuses memory that is writable and executable, and runs a command.
WITHIN = """
import ctypes, os, sys
seccomp, libc = ctypes.CDLL("libseccomp.so.2"), ctypes.CDLL(None)
seccomp.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(seccomp.seccomp_init(0x00050001))  # every other call fails with EPERM
for name in sys.argv[1].split():
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    assert number < 0 or seccomp.seccomp_rule_add(rules, 0x7FFF0000, number, 0) == 0, name
libc.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, which kernels before 6.3 lack
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert seccomp.seccomp_load(rules) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def files_of_the_context(source: str) -> list[Path]:
    """What `COPY source` finds: what .dockerignore lets through of the repository."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    allowed = [rule[1:] for rule in rules if rule[0] == "!"]
    return [path for path in ROOT.glob(source) if any(path.relative_to(ROOT).match(rule) for rule in allowed)]


@pytest.mark.parametrize(
    "file", ["deploy/Dockerfile", "deploy/qwen3-reranker.service", "deploy/healthcheck.py", "docs/deploy.md"]
)
def test_every_variable_of_the_server_is_a_setting(file: str) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", (ROOT / file).read_text(encoding="utf-8")))
    assert named
    assert named <= SETTINGS


def test_the_image_copies_files_that_exist_and_that_its_context_has() -> None:
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, flags=re.MULTILINE)
    sources = [source for each in copies for source in each.split()]
    assert len(sources) >= 7
    for source in sources:
        assert files_of_the_context(source), source


def test_the_image_reinstalls_nothing_and_compiles_nothing_when_a_python_file_changes() -> None:
    steps = re.findall(r"^(?:COPY (?!--from).*|RUN .*)", DOCKERFILE, flags=re.MULTILINE)
    [package] = [index for index, step in enumerate(steps) if step.startswith("COPY qwen3_reranker ")]
    before = " ".join(steps[:package])
    for step in ("--requirement run.txt", "COPY native native", "pip wheel --no-deps --no-build-isolation"):
        assert step in before


def test_what_the_image_installs_is_what_the_package_asks_for(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    subprocess.run([sys.executable, DEPLOY / "requirements.py", f"{extras},torch"], cwd=tmp_path, check=True)
    needed = (tmp_path / "run.txt").read_text().splitlines()
    named = [each for name in (*extras.split(","), "torch") for each in PROJECT["optional-dependencies"][name]]
    assert needed == [*PROJECT["dependencies"], *named]
    assert not any(each.startswith("qwen3_reranker") for each in needed), "an extra of an extra is not looked up"


def test_the_label_of_the_image_is_the_version_of_the_package() -> None:
    assert f"ARG VERSION={PROJECT['version']}\n" in DOCKERFILE


def test_hadolint_has_nothing_to_say() -> None:
    subprocess.run([Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile"], check=True)


def test_the_health_check_follows_the_port_and_tells_ready_from_not() -> None:
    [command] = re.findall(r"^HEALTHCHECK .* CMD \[(.*)\]$", DOCKERFILE, flags=re.MULTILINE)
    assert command == '"python", "-IS", "/app/healthcheck.py"'

    def check(port: int) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "QWEN3_RERANKER_HOST": "0.0.0.0", "QWEN3_RERANKER_PORT": str(port)}
        command = [sys.executable, "-IS", DEPLOY / "healthcheck.py"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with live_server() as server:
        assert check(server.port).returncode == 0
        server.application.context.drain.is_unready = True
        unready = check(server.port)
        server.application.context.drain.is_unready = False
    assert unready.returncode == 1
    assert "503" in unready.stderr
    assert check(server.port).returncode == 1


def test_the_unit_waits_longer_for_the_end_than_the_server_takes() -> None:
    [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, flags=re.MULTILINE)
    usual = ServerSettings()
    assert int(seconds) > usual.drain_delay + usual.shutdown_timeout + 5


def test_the_environment_file_of_the_unit_overrides_what_the_unit_sets() -> None:
    # Flags would win over both; of variables systemd takes the file's.
    assert re.findall(r"^ExecStart=.*", UNIT, flags=re.MULTILINE)[0].endswith("/bin/qwen3-reranker serve")
    assert "\nEnvironmentFile=-/etc/qwen3-reranker.env\n" in UNIT
    # The socket is listened on whatever these say.
    assert not re.search(rf"{PREFIX}(HOST|PORT)", UNIT)


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@needs_systemd
def test_systemd_rates_the_exposure_of_the_unit_below_2() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager"]
    done = subprocess.run([*command, DEPLOY / "qwen3-reranker.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def members(group: str) -> set[str]:
    """The system calls of one of systemd's groups."""
    command = ["systemd-analyze", "syscall-filter", "--no-pager", group]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return {call for name in names for call in (members(name) if name[0] == "@" else {name})}


@pytest.mark.slow
@needs_systemd
@pytest.mark.skipif(not list(Path("/usr/lib").glob("*/libseccomp.so.2")), reason="needs libseccomp")
def test_the_server_scores_with_the_system_calls_that_the_unit_allows(tmp_path: Path) -> None:
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT, flags=re.MULTILINE):
        calls = {call for group in line.lstrip("~").split() for call in members(group)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    within = [sys.executable, "-c", WITHIN, " ".join(sorted(allowed))]
    # Any process may make itself less important; under this filter it may not, so the filter is in force.
    nice = [*within, "-c", "import os; os.nice(1)"]
    assert "PermissionError" in subprocess.run(nice, capture_output=True, text=True, check=False).stderr
    package = ["-m", "qwen3_reranker"]
    keys = ["--keys", str(tmp_path / "keys.db")]
    made = [*within, *package, "keys", "create", "team", *keys]
    key = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    with server_process(*keys, program=[*within, *package]) as server:
        headers = {"authorization": f"Bearer {key}"}
        body = {"query": "take back a commit", "documents": ["git revert", "a cat"]}
        reply = httpx2.post(f"{server.url}/v1/rerank", json=body, headers=headers)
        assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("ending", ["\n", "", "\n\n"], ids=["as it is", "no newline", "one more"])
def test_the_template_for_other_servers_writes_the_prompt_however_an_editor_ends_it(ending: str) -> None:
    source = (DEPLOY / "qwen3_reranker.jinja").read_text(encoding="utf-8")
    card = template("card")
    assert source == chat_template(card)
    source = source.rstrip("\n") + ending
    pair = [{"role": "query", "content": "q"}, {"role": "document", "content": "d"}]
    assert rendered(source, pair) == card.written(DEFAULT_INSTRUCTION, "q", "d")
    assert rendered(source, pair, instruction="Find it.") == card.written("Find it.", "q", "d")
    system = {"role": "system", "content": "Find it."}
    assert rendered(source, [system, *pair]) == card.written("Find it.", "q", "d")
    assert rendered_by_sglang(source, "q", "d") == card.written(DEFAULT_INSTRUCTION, "q", "d")
    assert rendered_by_sglang(source, "q", "d", instruct="Find it.") == card.written("Find it.", "q", "d")
