"""Kernels that do not load say why, and not that they were never built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Without the finders of an editable installation, which would come before the folder of the test.
PROGRAM = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]
sys.path.insert(0, sys.argv[1])
from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.errors import UnavailableError
try:
    native_module()
except UnavailableError as error:
    print(error)
"""


@pytest.mark.usefixtures("package_path")
def test_a_module_that_does_not_load_says_why_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "qwen3_reranker_kernels.so").write_bytes(b"no module")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("the native kernels cannot be loaded (")
    assert "qwen3_reranker_kernels.so" in done.stdout
    assert done.stdout.count("\n") == 1
