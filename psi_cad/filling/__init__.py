"""A bone from its cortex: what it encloses, and what opens outwards."""
