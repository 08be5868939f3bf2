"""python -m qwen3_reranker.train.nano: make the bundled model."""

from qwen3_reranker.train.nano.recipe import main

main()
