"""What a failed check or a refusal means, and what usually mends it: words and data that the build and its reader share."""
