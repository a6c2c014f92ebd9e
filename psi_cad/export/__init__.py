"""Write a finished guide: STEP, STL, 3MF."""
