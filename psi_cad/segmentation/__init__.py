"""Which voxels are bone, and which bone."""
