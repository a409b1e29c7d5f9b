"""Generated choice: a model answers a choice in its own words."""
