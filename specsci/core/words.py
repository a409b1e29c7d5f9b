"""Whether words stand in a text: as whole words, in scripts that part them by spaces."""

from __future__ import annotations

import re

_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Characters of scripts that write words without spaces, or join particles to them."""


def stands_in(wanted: str, text: str) -> bool:
    """Whether words, one space between them, stand in a text of that form; of scripts without spaces anywhere in it."""
    if not wanted:
        return False
    return wanted in text if _SPACELESS.search(wanted) else f" {wanted} " in f" {text} "
