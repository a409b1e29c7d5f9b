"""Reasoning apart from the answer: what stands between <think> and </think> is no part of what a model says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLOSED = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)
_ONLY_CLOSED = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)


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
