"""Reading what a language model wrote: strictly. What is not of the form that was asked for has a reason, and is not used."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from specsci.generate.request import Reply

CONTENT, THINK = "content", "think"
PLACEHOLDER = re.compile(
    r"\{\{?[a-z_ ]{2,40}\}?\}|(?i:\[(?:insert|your|name|date|company|title|author|placeholder|todo)\b[^\]\n]{0,60}\])"
    r"|\bTODO\b|\bTBD\b|\bXX+\b|<[A-Z_]{3,}>|(?i:lorem ipsum)"
)
LEAKED = re.compile(r"</?(?:scratchpad|content|think|spec|draft|review|user|reply|text)>|\b(?:as an ai language model|here is the (?:document|revised))\b", re.IGNORECASE)
_FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n```$", re.DOTALL)
LEAST_SHARE = 0.3
"""A document with a smaller share of the words that were asked for is not one."""


class Unparsed(ValueError):
    """A reply is not of the form that was asked for; the message is the reason, in a few fixed words."""


@dataclass(frozen=True)
class Wanted:
    """What a text must be.

    Attributes:
        tagged: whether it stands between tags.
        least_words: fewer make it none.
        others: names that it must not have: other models, other makers.
    """

    tagged: bool
    least_words: int
    others: re.Pattern[str]


def text_of(reply: Reply, wanted: Wanted) -> str:
    """The text of a reply; raises Unparsed."""
    text = _between(reply.text, CONTENT) if wanted.tagged else reply.text.strip()
    check_text(text, wanted)
    return text


def check_text(text: str, wanted: Wanted) -> None:
    """Raises Unparsed where a text cannot be one that a model is trained on."""
    if not text:
        raise Unparsed("empty")
    if LEAKED.search(text):
        raise Unparsed("scratchpad leaked")
    if PLACEHOLDER.search(text):
        raise Unparsed("placeholder left")
    if wanted.others.search(text):
        raise Unparsed("wrong identity")
    if len(text.split()) < wanted.least_words:
        raise Unparsed("too short")


def answer_of(reply: Reply, wanted: Wanted, *, thinks: bool) -> tuple[str, str]:
    """Thoughts and answer of a reply; the thoughts are empty where none are wanted. Raises Unparsed."""
    answer = text_of(reply, wanted)
    if not thinks or not wanted.tagged:
        return "", answer
    thoughts = _between(reply.text, THINK)
    check_text(thoughts, wanted)
    return thoughts, answer


def _between(text: str, tag: str) -> str:
    """What stands between the one pair of tags; raises Unparsed."""
    opened, closed = text.count(f"<{tag}>"), text.count(f"</{tag}>")
    if not opened and not closed:
        raise Unparsed("untagged")
    if opened != 1 or closed != 1:
        raise Unparsed("tags do not match")
    _, _, rest = text.partition(f"<{tag}>")
    inner, found, _ = rest.partition(f"</{tag}>")
    if not found:
        raise Unparsed("tags do not match")
    return inner.strip()


def list_of(reply: Reply, kind: type, least: int = 1) -> list[Any]:
    """The JSON list of a reply, whose elements are all of a kind; raises Unparsed."""
    text = reply.text.strip()
    fenced = _FENCE.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        raise Unparsed("not JSON") from None
    if not isinstance(found, list) or not all(isinstance(e, kind) for e in found):
        raise Unparsed("not a list of what was asked for")
    texts = [e for e in found if not isinstance(e, str) or e.strip()]
    if len(texts) < least:
        raise Unparsed("too few elements")
    return [" ".join(e.split()) if isinstance(e, str) else e for e in texts]


def verdict_of(reply: Reply) -> bool:
    """Whether a reply says KEEP; raises Unparsed where it says neither, or more."""
    word = reply.text.strip().strip(".*`\"'").upper()
    if word not in ("KEEP", "DROP"):
        raise Unparsed("neither KEEP nor DROP")
    return word == "KEEP"
