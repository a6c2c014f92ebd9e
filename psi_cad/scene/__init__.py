"""The cuts of a case as they lie on its bone. No kernel."""
