"""Numbers: the population statistics, and what is kept of the batches. NumPy only."""
