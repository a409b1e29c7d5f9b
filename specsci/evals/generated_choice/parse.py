"""Which option an answer in words takes: strictly, where it says nothing else, and leniently, where it names one option alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STRICT, LENIENT = "strict", "lenient"
READOUTS = (STRICT, LENIENT)
_CLOSED = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)
_ONLY_CLOSED = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_LEAD = re.compile(r"^(?:(?:the |my )?(?:answer|choice)(?: is)?|i (?:would )?(?:choose|pick|take|prefer))\s*[:,]?\s+", re.IGNORECASE)
_EDGES = " \t\r\n.,;:!?\"'`*_()[]“”‘’"
_NOT = re.compile(r"\b(?:not|never|no|neither|nor|don't|do not|wouldn't|would not|rather than|instead of|over|than|avoid)\b", re.IGNORECASE)

Choice = Literal["first", "second"]


@dataclass(frozen=True)
class Said:
    """A reply without its reasoning, and the reasoning; `open` where the reasoning never ends."""

    text: str
    reasoning: str
    open: bool


def split_reasoning(reply: str) -> Said:
    """Take what stands between <think> and </think> out of a reply; a block that is not closed leaves no answer."""
    thoughts = [m[0] for m in _CLOSED.finditer(reply)]
    rest = _CLOSED.sub(" ", reply)
    if "</think" in rest.lower() and "<think" not in rest.lower():  # the template opened it in the prompt
        head = _ONLY_CLOSED.match(rest)
        assert head is not None
        thoughts, rest = [*thoughts, head[0]], rest[head.end() :]
    tail = _OPEN.search(rest)
    if tail:
        thoughts, rest = [*thoughts, tail[0]], rest[: tail.start()]
    return Said(rest.strip(), "\n".join(thoughts), tail is not None)


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
