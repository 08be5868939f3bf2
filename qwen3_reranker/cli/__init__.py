"""The command line: `main` runs one verb. An error becomes one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from qwen3_reranker.cli.interrupts import interrupts_kept
from qwen3_reranker.cli.terminal import complain
from qwen3_reranker.errors import RerankerError

PROGRAM = "qwen3-reranker"
#: Set by a shell that asks what could come next.
COMPLETE_VARIABLE = "_QWEN3_RERANKER_COMPLETE"
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
READER_GONE = 141  # 128 + SIGPIPE, as a shell reports it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qwen3-reranker ARGUMENTS` (None: this process's own) and return the exit code. Only a bug of ours raises."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it stays open as long as the process
    if sys.stdout is None:
        complain("standard output is closed, so nothing can be printed")
        return 1
    try:
        _escape_what_stdout_cannot_write()
        with interrupts_kept():
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except RerankerError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return READER_GONE
    except MemoryError:
        complain("out of memory; `inspect` says how much the weights and a batch (--max-batch-tokens) need")
        return 1
    except OSError as error:
        # What cannot be read is named where it is read; what is left is our own output.
        complain(f"cannot write: {error.strerror or error}")
        _abandon_stdout()
        return 1
    return code


def _run(arguments: list[str]) -> int:
    # Imported here, so that Ctrl-C during the import is one line as well.
    import typer

    from qwen3_reranker.cli.app import app
    from qwen3_reranker.cli.usage import sentence

    # typer carries its own click in later releases; its base class of usage errors is found through a public one.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    command = typer.main.get_command(app)
    try:
        if COMPLETE_VARIABLE in os.environ:
            command.main([], prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE)
        with command.make_context(PROGRAM, arguments or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as ending:
        return ending.exit_code
    except SystemExit as ending:
        # What typer does for shells, completion and its installation, ends so.
        return ending.code if isinstance(ending.code, int) else 0
    except usage_error as error:
        complain(sentence(error, arguments))
        return USAGE
    return 0


def _escape_what_stdout_cannot_write() -> None:
    # A file's name need not be Unicode, and a terminal's encoding may lack letters: shown escaped, never a failure.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _abandon_stdout() -> None:
    # The interpreter flushes stdout once more when it ends; what is still buffered has nowhere to go.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
