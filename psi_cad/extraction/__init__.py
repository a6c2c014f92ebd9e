"""From a mask to a surface: smooth, true to the scan's values, with what is not measured marked."""
