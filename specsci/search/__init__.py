"""Searching for training settings, with the same budget for every arm."""
