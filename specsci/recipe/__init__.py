"""Declared training settings: recipes, presets, and how much memory a stage needs. No torch."""
