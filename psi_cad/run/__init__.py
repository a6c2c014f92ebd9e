"""The verbs: build a case in a process that may die, and measure an output folder again."""
