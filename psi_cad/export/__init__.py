"""Write a finished guide: STEP, STL, 3MF. Files appear under their final name only when they are whole."""
