"""Kinds of steps that bring models in."""

from __future__ import annotations

from specsci.core.kinds import TORCH, StepKind

TOKENIZER = StepKind("tokenizer", "specsci.models.steps:run_tokenizer", compared=True)
BASE = StepKind("base", "specsci.models.steps:run_base", needs=frozenset({TORCH}), holds_model=True, compared=True)
KINDS = (TOKENIZER, BASE)
