"""Measurements of specsci against its goals and its peers: `python -m benchmarks [--only NAME]`."""
