"""Processes that begin with the kernel loaded, and what is loaded late in them or not at all."""
