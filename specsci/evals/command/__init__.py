"""Evals by a program of the user's own."""
