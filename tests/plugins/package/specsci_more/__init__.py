"""A package outside the tree: a generator, an eval kind with its own kind of step, a model source, and a pool."""
