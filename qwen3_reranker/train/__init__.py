"""Training: pairs -> tokenizer, tree-packed groups, network, checkpoint. The only part that needs torch."""
