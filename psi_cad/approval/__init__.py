"""Who approved exactly what, and what of it is released."""
