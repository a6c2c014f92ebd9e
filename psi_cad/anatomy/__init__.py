"""What kind of bone a surface is, and of which side: told from its shape."""
