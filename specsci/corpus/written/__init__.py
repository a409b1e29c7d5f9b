"""Texts that a language model writes: outline, documents, conversations, each in exact quotas and strictly parsed."""
