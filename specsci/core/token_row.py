"""A row of tokens: what texts become before they are packed and trained on."""

from __future__ import annotations

from dataclasses import dataclass

IGNORED = -100
"""The label that the loss leaves out."""


@dataclass(frozen=True)
class TokenRow:
    """One document or conversation: token ids, and which of them are supervised."""

    input_ids: list[int]
    supervised: list[bool] | None = None
    """None: every token (but the first, which nothing predicts)."""

    def labels(self) -> list[int]:
        """Labels as the causal-LM loss wants them: the first token of a row is never predicted."""
        if self.supervised is None:
            labels = list(self.input_ids)
        else:
            labels = [t if on else IGNORED for t, on in zip(self.input_ids, self.supervised, strict=True)]
        labels[0] = IGNORED
        return labels
