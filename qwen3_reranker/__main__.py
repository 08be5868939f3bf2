"""`python -m qwen3_reranker` is `qwen3-reranker`."""

import sys

from qwen3_reranker.cli import main

sys.exit(main())
