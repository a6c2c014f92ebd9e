"""Scans and label maps of any format, read into the patient frame; whether a scan can be trusted; the tumour in an MRI."""
