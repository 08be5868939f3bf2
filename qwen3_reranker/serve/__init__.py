"""The HTTP server: it answers clients of other rerankers, with keys, limits and usage, by one scheduler a model."""
