"""Where a model or a number comes from, and what changed between two of them."""
