"""Ranks with the installed package, whose kernels must be compiled; says with which. Run by each build of a wheel."""

import logging
import sys

import qwen3_reranker


class Kernels(logging.Handler):
    """Keeps what the log says of the kernels."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("kernels: "):
            Kernels.said = record.getMessage()


logging.basicConfig(level=logging.INFO, handlers=[Kernels()])
documents = ["Rinse the rice and let it simmer.", "To undo your last commit, run git reset --soft HEAD~1."]
best = qwen3_reranker.Reranker("nano").rank("take back my last commit", documents)[0]
if best.index != 1 or not Kernels.said:
    sys.exit(f"ranked {best.document!r} first; kernels: {Kernels.said or 'none compiled'}")
print(f"Python {sys.version.split()[0]}, {Kernels.said}")
