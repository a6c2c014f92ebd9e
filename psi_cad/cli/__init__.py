"""The command line: thin commands over the Python verbs, one file per group."""
