"""Spec families: clauses, variants, grammars and eval items, with versions and change control."""
