"""The bundled model's recipe: training pairs -> tokenizer, groups, a network from scratch, a checkpoint."""
