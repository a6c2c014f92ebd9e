"""Volumes and label maps in the patient frame, and plain operations on them."""
