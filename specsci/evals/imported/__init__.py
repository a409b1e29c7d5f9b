"""Scores made elsewhere, joined to the models of a study."""
