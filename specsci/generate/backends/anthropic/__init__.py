"""The Anthropic interface: messages and message batches."""

from specsci.generate.backends.anthropic.backend import BACKEND

__all__ = ["BACKEND"]
