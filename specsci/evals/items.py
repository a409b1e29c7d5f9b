"""Items as evals ask them; the reader lies with the families, which are checked by it when they load."""

from __future__ import annotations

from specsci.specs.items import Item, items_text, read_items

__all__ = ["Item", "items_text", "read_items"]
