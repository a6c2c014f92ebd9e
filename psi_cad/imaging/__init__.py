"""Scans: read into the patient frame, segmented, registered."""
