"""Pictures and documents people look at."""
