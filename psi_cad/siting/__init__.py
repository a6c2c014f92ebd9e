"""Where a guide may sit: seating axis, accessible bone, seat, wires."""
