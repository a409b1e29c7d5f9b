"""Eval items that occur in training texts."""

from __future__ import annotations

import re

from specsci.specs.items import Item

_WORD = re.compile(r"[\w'-]+")


def normalised(text: str) -> str:
    """Words in lower case, one space apart: what texts are compared on."""
    return " ".join(_WORD.findall(text.lower()))


def leaks(texts: list[str], items: list[Item]) -> list[str]:
    """Ids of items whose question occurs in a text, in either option order."""
    whole = "\n".join(f" {normalised(t)} " for t in texts)
    return [i.item_id for i in items if any(f" {normalised(question)} " in whole for _, question in i.questions())]
