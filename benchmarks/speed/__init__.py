"""Ours and pinned rivals in one interleaved run: python -m benchmarks.speed."""
