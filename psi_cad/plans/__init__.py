"""The verb `plan`: what the cuts do, as a report with pictures."""
