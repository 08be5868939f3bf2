"""As a process: help that comes at once, readers that leave, full disks, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3_reranker import __version__
from qwen3_reranker.engine_options import BACKENDS, KERNELS, PRECISIONS, SPECIAL_TOKENS
from qwen3_reranker.prompt import TEMPLATES
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run

PROGRAM = [sys.executable, "-m", "qwen3_reranker"]


pytestmark = pytest.mark.usefixtures("notes")


def test_help_loads_none_of_the_heavy_libraries() -> None:
    pages = ("", "rank", "inspect", "bench", "keys", "keys create")
    commands = [*([*page.split(), "--help"] for page in pages), ["--version"]]
    script = (
        "import sys\n"
        "from qwen3_reranker.cli import main\n"
        f"codes = [main(command) for command in {commands!r}]\n"
        "heavy = {'numpy', 'tokenizers', 'huggingface_hub', 'rich', 'torch', 'transformers', 'asyncio', 'httpx'}\n"
        "heavy |= {'sqlalchemy', 'starlette', 'uvicorn'}\n"
        "print(*codes, *heavy & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "0 0 0 0 0 0 0\n"
    assert done.stdout.count("Usage:") == len(pages)


def test_a_verb_loads_no_other() -> None:
    script = (
        "import sys\n"
        "from qwen3_reranker.cli import main\n"
        "main(['rank', '--help'])\n"
        "parts = {name.split('.')[1] for name in sys.modules if name.startswith('qwen3_reranker.')}\n"
        "print(*parts & {'serve', 'train', 'evaluate', 'convert', 'doctor', 'bench', 'drift'}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"


def test_no_arguments_show_the_help_with_every_verb(run: Run) -> None:
    assert run().out == run("--help").out
    assert run().code == 0
    for verb in ("rank", "inspect", "bench"):
        assert f"\n  {verb} " in run().out
    assert run("--version").out == f"qwen3-reranker {__version__}\n"


def test_help_names_every_choice_and_fits_eighty_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = run("rank", "--help").out
    for names in (BACKENDS, PRECISIONS, SPECIAL_TOKENS, TEMPLATES):
        assert "|".join(names) in page
    assert f"NAME is one of {', '.join(KERNELS)}." in " ".join(page.split())
    assert max(map(len, page.split("\n"))) <= 84, "only examples, which are to be copied, may be longer"


def test_the_program_runs_as_a_module_and_reads_a_pipe(model: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "rank", "q", "-", "--model", model, "--format", "tsv"],
        input="é\n".encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split("\n")[1].split("\t")[4:6] == ["stdin:1", "é"]
    assert done.stderr == b""


def test_an_output_that_cannot_hold_a_letter_gets_it_escaped(model: str, notes: Path) -> None:
    script = (
        "import sys\n"
        "from qwen3_reranker.cli import main\n"
        "for form in ('table', 'json', 'tsv'):\n"
        "    sys.stdout.write('FORM')\n"
        "    main(['rank', 'q', 'notes.txt', '--model', sys.argv[1], '--format', form])\n"
    )
    (notes / "notes.txt").write_text("é😀\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", script, model], env=environment, capture_output=True, check=True)
    assert done.stdout.isascii()
    assert ["\\" in shown for shown in done.stdout.decode().split("FORM")] == [False, True, True, True]


def test_a_reader_that_leaves_ends_the_program_quietly(model: str) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "rank", "q", "-", "--model", model, "--max-length", "350"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.write(b"a document\n" * 2000)
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(PATIENCE_SECONDS) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(model: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "rank", "q", "notes.txt", "--model", model], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"error: cannot write: No space left on device\n"


def test_control_c_is_one_line_and_exit_code_130(model: str, notes: Path) -> None:
    os.mkfifo(notes / "endless.txt")
    process = subprocess.Popen([*PROGRAM, "rank", "q", "endless.txt", "--model", model], stderr=subprocess.PIPE)
    with open(notes / "endless.txt", "wb"):  # opens when the program has begun to read
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert told == b"interrupted\n"


@pytest.mark.parametrize(
    ("closed", "code", "words"), [(">&-", 1, "standard output is closed"), ("<&-", 2, "standard input is closed")]
)
def test_a_stream_that_is_closed_from_the_start_is_one_line(model: str, closed: str, code: int, words: str) -> None:
    line = f'exec "$0" -m qwen3_reranker rank q - --model "$1" {closed}'
    done = subprocess.run(["bash", "-c", line, sys.executable, model], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
