"""The HTTP server: what clients of other rerankers send, judged by one scheduler, for keys that pay and are counted."""
