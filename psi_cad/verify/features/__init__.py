"""Kinds of features, a file for each: how one is found among a solid's faces (for measuring and for names), measured, and checked."""
