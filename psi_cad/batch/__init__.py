"""Many guides in one run: the jobs of cases, blades, printers and settings, done on Dask and resumed by their hashes."""
