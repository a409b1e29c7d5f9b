"""About how many tokens items take, before a tokenizer has read them."""

from __future__ import annotations

PROMPT_TOKENS = 25
"""What a chat template adds to a question."""
CHARACTERS_PER_TOKEN = 8
"""Of an item's line of JSON, whose keys are not asked."""


def item_tokens(items_text: str) -> list[float]:
    """About the tokens of one question of each item."""
    return [len(line) / CHARACTERS_PER_TOKEN + PROMPT_TOKENS for line in items_text.splitlines() if line.strip()]
