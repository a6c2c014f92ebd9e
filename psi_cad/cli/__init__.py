"""The command line: thin commands over the Python verbs, one file per group."""

import os

# Our products are small and many: the library's threads wait for each other longer than they work, and on a shared machine
# a build takes twice as long. It is said before NumPy is loaded, or it has no effect; who wants otherwise sets the variable.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
