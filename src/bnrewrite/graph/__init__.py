"""Symbols: variables in, variables out. No data of a batch are kept here."""
