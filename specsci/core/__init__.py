"""The contracts that every package shares: errors, identities, YAML with places, steps, kinds of step, registries, files."""
