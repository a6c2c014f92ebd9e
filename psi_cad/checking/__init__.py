"""A case before it is built: what would be refused, and a look at it."""
