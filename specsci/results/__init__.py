"""The results database: how it is built from the store, queried, imported into and exported."""
