"""What lies in an output folder, by which names, and what made it."""
