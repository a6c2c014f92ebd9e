"""DICOM files, read by patient position and never by their names."""
