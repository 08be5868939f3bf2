"""Code that a page shows, run as whoever copies it would run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Page

NODE = shutil.which("node")


def run_code(language: str, code: str, folder: Path, environment: Mapping[str, str], page: Page) -> str:
    """What the code prints. JavaScript runs in the page, which is of the same server, where there is no node."""
    if language == "JavaScript" and NODE is None:
        env = "{" + ", ".join(f"{name}: '{value}'" for name, value in environment.items()) + "}"
        log = "const lines = []; const console = { log: (...parts) => lines.push(parts.map(text).join(' ')) };"
        text = "const text = (part) => (typeof part === 'object' ? JSON.stringify(part) : String(part));"
        script = f"async () => {{ const process = {{ env: {env} }}; {text} {log}\n{code}\nreturn lines.join('\\n'); }}"
        return str(page.evaluate(script))
    runner, ending = {"curl": ("bash", "sh"), "JavaScript": (NODE or "", "mjs")}.get(language, (sys.executable, "py"))
    script_file = folder / f"copied.{ending}"
    script_file.write_text(code, encoding="utf-8")
    options = ["-eu"] if runner == "bash" else []
    run = subprocess.run(
        [runner, *options, script_file],
        capture_output=True,
        text=True,
        env=os.environ | {"NO_PROXY": "*", "PYTHONWARNINGS": "ignore"} | environment,
        check=False,
    )
    assert run.returncode == 0, f"{language}: {run.stderr}"
    return run.stdout
