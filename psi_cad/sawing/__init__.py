"""Which blade saws each cut, on the patient and on a donor: kerfs, shifts, and blades that are long enough."""
