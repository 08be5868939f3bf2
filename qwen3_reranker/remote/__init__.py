"""Remote: pairs of texts -> scores of a rerank server, with retries, and what is known to be wrong with it."""
