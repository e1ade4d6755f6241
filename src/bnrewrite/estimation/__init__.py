"""From symbols to numbers: run the exported statistics over batches."""
