"""Shapes of whole bone: offsets, pegs between pieces, drains, letters on cut faces. Closed surfaces and Manifold solids, patient frame, mm."""
