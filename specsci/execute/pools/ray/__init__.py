"""Steps on the machines of a Ray cluster that share the store."""
