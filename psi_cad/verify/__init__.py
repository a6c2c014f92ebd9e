"""Measure exported files against the plan; nothing here sees the design, only files, the plan and the bone."""
