"""Stages of a build, made once and found again by the digests of all that they were made from; in memory and on disk."""
