"""The bundled model's own recipe: training pairs -> tokenizer, cache, groups, a network from scratch, a checkpoint."""
