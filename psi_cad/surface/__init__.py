"""Surfaces: reading, trust and repair, sections, distances."""
