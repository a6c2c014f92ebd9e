"""Trajectories as they lie on the bone, and the sleeves that guide tools along them."""
