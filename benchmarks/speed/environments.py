"""One virtual environment a rival, made from its pinned requirements; a failure is kept and named in the table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

RIVALS = Path(__file__).parents[1] / "rivals"
ROOT = RIVALS.parents[1]


class Environments:
    """Below `work`/venvs; an environment counts as made when it holds a copy of the requirements it was made from."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "venvs"

    def python(self, name: str | None) -> Path:
        """Its interpreter; None is the environment of this process."""
        return Path(sys.executable) if name is None else self.folder / name / "bin" / "python"

    def problem(self, name: str | None) -> str | None:
        """Why it cannot be used, or None."""
        if name is None or self._is_made(name):
            return None
        failure = self._failure(name)
        if failure.exists():
            return f"did not install: {failure.read_text(encoding='utf-8').strip()}"
        return "not installed: run with --prepare first"

    def prepare(self, name: str) -> None:
        """Make the environment with pip at low priority, unless it is there already."""
        if self._is_made(name):
            print(f"{name}: already there", file=sys.stderr)
            return
        print(f"{name}: installing", file=sys.stderr, flush=True)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._failure(name).unlink(missing_ok=True)
        lines = _requirements(name).read_text(encoding="utf-8").splitlines()
        variables = dict(line.removeprefix("# environment: ").split("=", 1) for line in _noted(lines, "environment"))
        unwanted = [word for line in _noted(lines, "uninstall") for word in line.removeprefix("# uninstall: ").split()]
        pip = [str(self.python(name)), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        with open(self.folder / f"{name}.log", "w+", encoding="utf-8") as log:
            try:
                _run([sys.executable, "-m", "venv", str(self.folder / name)], log, {})
                _run([*pip, "install", "--requirement", str(_requirements(name))], log, variables)
                if unwanted:
                    _run([*pip, "uninstall", "--yes", *unwanted], log, {})
            except subprocess.CalledProcessError:
                log.seek(0)
                errors = [line.strip() for line in log if line.startswith("ERROR") or "rror:" in line]
                reason = errors[-1] if errors else f"pip failed, see {log.name}"
                self._failure(name).write_text(reason, encoding="utf-8")
                print(f"{name}: {reason}", file=sys.stderr)
                return
        shutil.copyfile(_requirements(name), self._made_from(name))

    def _is_made(self, name: str) -> bool:
        made_from = self._made_from(name)
        return made_from.exists() and made_from.read_bytes() == _requirements(name).read_bytes()

    def _made_from(self, name: str) -> Path:
        return self.folder / name / "requirements.txt"

    def _failure(self, name: str) -> Path:
        return self.folder / f"{name}.failure.txt"


def _requirements(name: str) -> Path:
    return RIVALS / f"{name}.requirements.txt"


def _noted(lines: list[str], what: str) -> list[str]:
    return [line for line in lines if line.startswith(f"# {what}: ")]


def _run(command: list[str], log: object, variables: dict[str, str]) -> None:
    polite = ["nice", "-n", "19"] if shutil.which("nice") else []
    environment = {**os.environ, **variables}
    subprocess.run([*polite, *command], stdout=log, stderr=log, env=environment, check=True)  # type: ignore[call-overload]
