"""Conformance suites, one for each protocol, for packages that bring an implementation, and what they are run with."""
