"""Models on this machine's GPUs, by vLLM in a process of its own."""

from specsci.generate.backends.vllm.backend import BACKEND

__all__ = ["BACKEND"]
