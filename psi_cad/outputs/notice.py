"""The sentence that every report and file of ours carries."""

from typing import Final

__all__ = ["NOT_A_DEVICE"]

NOT_A_DEVICE: Final = "Engineering output, not a medical device; qualified people must approve it before any use."
