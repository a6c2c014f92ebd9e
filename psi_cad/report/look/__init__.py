"""The page of `psi-cad look`: bodies to turn and slices to scroll, with the numbers of what is clicked."""
