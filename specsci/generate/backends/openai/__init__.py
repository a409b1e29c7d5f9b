"""Servers of the OpenAI chat-completions interface: the vendor's, and every compatible one."""

from specsci.generate.backends.openai.backend import BACKEND

__all__ = ["BACKEND"]
