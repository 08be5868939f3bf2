"""The notebooks run with the bundled model, and print what they show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.test_readme import same
from website.staged_pages import NOTEBOOKS

pytestmark = [
    pytest.mark.slow,
    # What jupyter's client says of its own sockets and loops.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning"),
]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shown = nbformat.read(notebook, as_version=4)
    run = nbformat.read(notebook, as_version=4)
    NotebookClient(run, timeout=600, resources={"metadata": {"path": str(notebook.parent)}}).execute()
    for before, after in zip(shown.cells, run.cells, strict=True):
        # A budget and training end elsewhere on another machine.
        if before.cell_type == "code" and "varies" not in before.metadata.get("tags", ()):
            assert same(_printed(before), _printed(after)), _printed(after)


def _printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
