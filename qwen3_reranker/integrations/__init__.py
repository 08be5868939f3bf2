"""Classes of other frameworks around a Reranker or Embedder in the same process, one file a framework."""
