"""Fixtures of the invariance tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import BUILD, loud, word_tokenizer


@pytest.fixture(params=["gemma3", "llama", pytest.param("qwen3", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> Any:
    """A random model of each family."""
    torch.manual_seed(0)
    return loud(BUILD[request.param]())


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return word_tokenizer()
