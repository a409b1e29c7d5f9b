"""Models in this process, by transformers."""

from specsci.generate.backends.hf.backend import BACKEND

__all__ = ["BACKEND"]
