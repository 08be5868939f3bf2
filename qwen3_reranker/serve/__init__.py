"""The HTTP server. It answers clients of other rerankers, with keys, limits and usage."""
