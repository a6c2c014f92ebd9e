"""Surfaces: reading, trust and repair, sections, distances, and the seat patch fitted to bone."""
