"""Open questions whose answers a language model judges by a rubric."""
