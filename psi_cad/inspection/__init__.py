"""Finished files measured: while others are still being made, or again from an output folder."""
