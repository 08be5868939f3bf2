"""Tests of qwen3_reranker.calibrate."""
