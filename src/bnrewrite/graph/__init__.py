"""Symbols: variables in, variables out. Nothing here knows a batch or a number."""
