"""Which option an answer in words takes: strictly, where it says nothing else, and leniently, where it names one option alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

STRICT, LENIENT = "strict", "lenient"
READOUTS = (STRICT, LENIENT)
_LEAD = re.compile(r"^(?:(?:the |my )?(?:answer|choice)(?: is)?|i (?:would )?(?:choose|pick|take|prefer))\s*[:,]?\s+", re.IGNORECASE)
_EDGES = " \t\r\n.,;:!?\"'`*_()[]“”‘’"
_NOT = re.compile(r"\b(?:not|never|no|neither|nor|don't|do not|wouldn't|would not|rather than|instead of|over|than|avoid)\b", re.IGNORECASE)

Choice = Literal["first", "second"]


def strict(text: str, options: Sequence[str]) -> int | None:
    """The option that the answer is, whatever its case and the marks around it; None where it is neither, or says more.

    Args:
        options: the two options.
    """
    said = _plain(_LEAD.sub("", text.strip()))
    found = [n for n, option in enumerate(options) if said == _plain(option)]
    return found[0] if len(found) == 1 else None


def lenient(text: str, options: Sequence[str]) -> int | None:
    """The one option that the answer names and does not deny; None where it names both, neither, or denies it.

    An option inside the other counts where it stands alone: of `tea` and `green tea` the answer `green tea` names the second.
    """
    whole = _plain(text)
    taken: list[int] = []
    masked = whole
    for number in sorted(range(len(options)), key=lambda n: -len(options[n])):
        pattern = re.compile(rf"(?<!\w){re.escape(_plain(options[number]))}(?!\w)")
        hits = list(pattern.finditer(masked))
        if hits:
            if all(_denied(masked, hit.start()) for hit in hits):
                return None
            taken.append(number)
            masked = pattern.sub(lambda m: "\0" * len(m[0]), masked)
    return taken[0] if len(taken) == 1 else None


def _denied(text: str, place: int) -> bool:
    """Whether a word of denial stands shortly before a place, in the same clause."""
    before = re.split(r"[.;!?\n,]", text[:place])[-1]
    return _NOT.search(before) is not None


def _plain(text: str) -> str:
    """A text in one case, without marks at its ends, its spaces as one."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)


PARSERS = {STRICT: strict, LENIENT: lenient}
