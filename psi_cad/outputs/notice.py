"""The sentence that every report and file of ours carries."""

from typing import Final

__all__ = ["CASE_NOT_READ", "NOT_A_DEVICE"]

NOT_A_DEVICE: Final = "Engineering output, not a medical device; qualified people must approve it before any use."
CASE_NOT_READ: Final = "the case file was not looked at: 'psi-cad look CASE --out OUT' tells whether it has changed since the build"
