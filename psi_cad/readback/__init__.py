"""Exported files read back: a solid and its faces, triangles and rays on them."""
