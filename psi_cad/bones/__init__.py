"""From a scan to bone surfaces, with their doubts, pictures and report."""
