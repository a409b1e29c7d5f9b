"""Real weights that come inside a Python package: `package:NAME`."""
