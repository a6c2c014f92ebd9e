"""What the terminal says of results, in sentences."""
