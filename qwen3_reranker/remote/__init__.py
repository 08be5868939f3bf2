"""Remote: pairs of texts -> scores of a rerank server, and what is known to be wrong with it."""
