"""Forced choice: an item's two options, by the log-probability of each after the question."""
