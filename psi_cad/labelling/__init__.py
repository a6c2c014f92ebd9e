"""Where a guide carries its label: on a fence's side, on a raised wall, on a tag."""
