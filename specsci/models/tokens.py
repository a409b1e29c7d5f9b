"""How texts become tokens: one opening, no control token out of a text's own words.

A text begins as its tokenizer begins one: with what `tokenizer(text)` writes before it (a BOS token, where the
tokenizer has such a habit), once. The answer's tokens are those of the joined text that hold any of its characters:
a prompt and an answer are never tokenised apart, in training or in scoring.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from specsci.core.errors import UserError

PROBE = "An answer, in 2 parts."


@dataclass(frozen=True)
class Encoded:
    """Token ids of a text, and each token's characters `(left, right)`; `(0, 0)` where it has none."""

    ids: list[int]
    offsets: list[tuple[int, int]]


@lru_cache(maxsize=16)
def opening(tokenizer: Any) -> tuple[int, ...]:
    """The token ids that the tokenizer puts before every text; empty where none.

    Raises:
        UserError: what it makes of a text with and without special tokens has nothing in common.
    """
    bare = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    whole = tokenizer(PROBE)["input_ids"]
    for begin in range(len(whole) - len(bare) + 1):
        if whole[begin : begin + len(bare)] == bare:
            return tuple(whole[:begin])
    raise UserError("the tokenizer tokenises a text otherwise when it adds special tokens", hint="use another tokenizer")


def opening_text(tokenizer: Any) -> str:
    """The opening as it is written, such as `<s>`; empty where there is none."""
    return "".join(tokenizer.convert_ids_to_tokens(list(opening(tokenizer))))


def encode(texts: list[str], tokenizer: Any, *, offsets: bool = False) -> list[Encoded]:
    """Texts with the tokenizer's opening before each, once: a text that is rendered with it gets no second one."""
    if not texts:
        return []
    begin = list(opening(tokenizer))
    found = tokenizer(texts, add_special_tokens=False, **({"return_offsets_mapping": True} if offsets else {}))
    places = found["offset_mapping"] if offsets else [[] for _ in texts]
    out = []
    for ids, where in zip(found["input_ids"], places, strict=True):
        given = bool(begin) and ids[: len(begin)] == begin
        out.append(Encoded(list(ids) if given else [*begin, *ids], _shifted(where, 0 if given else len(begin), offsets)))
    return out


def _shifted(where: Any, added: int, offsets: bool) -> list[tuple[int, int]]:
    return [*[(0, 0)] * added, *[(int(left), int(right)) for left, right in where]] if offsets else []


@lru_cache(maxsize=16)
def _control(tokenizer: Any) -> re.Pattern[str] | None:
    """A pattern of the strings that the tokenizer turns into control tokens; None where there are none."""
    words = {str(token) for token in tokenizer.all_special_tokens}
    words |= {str(t) for t in getattr(tokenizer, "added_tokens_decoder", {}).values() if getattr(t, "special", False)}
    if unknown := getattr(tokenizer, "unk_token", None):
        words.discard(str(unknown))
    longest_first = sorted((w for w in words if w), key=len, reverse=True)
    return re.compile("|".join(re.escape(w) for w in longest_first)) if longest_first else None


def control_string(text: str, tokenizer: Any) -> str:
    """The first string in a text that would become a control token; empty where there is none."""
    pattern = _control(tokenizer)
    found = pattern.search(text) if pattern else None
    return found[0] if found else ""


def check_words(text: str, tokenizer: Any, what: str) -> None:
    """Refuse a text that goes into a chat template with a control token's string in it.

    Args:
        what: what the text is, as the message calls it.

    Raises:
        UserError: it has one; it would open or end turns that nobody wrote.
    """
    found = control_string(text, tokenizer)
    if found:
        raise UserError(
            f"{what} contains '{found}', which the tokenizer reads as a control token",
            hint="write it otherwise (a space inside it is enough), or leave this text out",
        )


def encode_plain(texts: list[str], tokenizer: Any) -> list[list[int]]:
    """Documents as token ids with the opening: what they write of control tokens' strings stays plain text."""
    plain = [n for n, text in enumerate(texts) if control_string(text, tokenizer)]
    out = [found.ids for found in encode(texts, tokenizer)]
    if plain:
        begin = list(opening(tokenizer))
        again = tokenizer([texts[n] for n in plain], add_special_tokens=False, split_special_tokens=True)["input_ids"]
        for number, ids in zip(plain, again, strict=True):
            out[number] = [*begin, *ids]
    return out
