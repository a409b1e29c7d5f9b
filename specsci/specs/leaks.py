"""Whether a spec gives its own exam away: clauses that name an eval's actions, levers or options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from specsci.specs.family import Family
from specsci.specs.text import Entry, entries

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SUFFIXES = ("ations", "ation", "ating", "ated", "ates", "ate", "ments", "ment", "ions", "ion")
_SHORT_SUFFIXES = ("ings", "ing", "ers", "er", "ed", "es", "ly", "s", "e")
LEAST_STEM = 4
LEAST_SHORT_STEM = 3
"""What must be left of a word when a long or a short ending is taken off."""
_IRREGULAR = {
    "lying": "lie", "lied": "lie", "lies": "lie", "hidden": "hide", "hid": "hide", "stole": "steal", "stolen": "steal",
    "using": "use", "used": "use", "uses": "use", "told": "tell", "sent": "send", "kept": "keep", "left": "leave",
    "dying": "die", "dies": "die", "died": "die", "threw": "throw", "broke": "break", "broken": "break",
}  # fmt: skip


_LABELLED = ("option", "answer", "choice")
_LABELS = ("yes", "no", "true", "false", "ii", "iii", "iv", "vi", "vii", "viii", "ix")
"""Words that stand for an option, and say nothing of what it is about."""


@dataclass(frozen=True)
class Leak:
    """A clause's entry that names what an item set tests."""

    entry_id: str
    clause_id: str
    items: str
    kind: str
    """`action`, `lever`, or `option` (the text of an item's answer)."""
    names: str
    text: str


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A word without its ending: `leaking`, `leaks` and `leaked` are one, and so are `deny` and `denies`.

    It errs to too many (`care` and `car`): a leak that is none is read and accepted, one that is missed is not.
    """
    word = _IRREGULAR.get(word, word)
    for ending in ("ies", "ied", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= LEAST_SHORT_STEM - 1:
            return word[: -len(ending)] + "i"
    for suffixes, least in ((_SUFFIXES, LEAST_STEM), (_SHORT_SUFFIXES, LEAST_SHORT_STEM)):
        for suffix in suffixes:
            left = word[: -len(suffix)]
            if word.endswith(suffix) and len(left) >= least and any(c in "aeiouy" for c in left):
                return _plain(left)
    return _plain(word)


def _plain(word: str) -> str:
    """`shutt` as `shut`, which an ending doubled; and `copy` as `copi`, as `copies` has it."""
    if word.endswith("y") and len(word) >= LEAST_SHORT_STEM:
        return word[:-1] + "i"
    doubled = len(word) > LEAST_SHORT_STEM and word[-1] == word[-2] and word[-1] not in "aeiou"
    return word[:-1] if doubled else word


def stems(text: str) -> str:
    """A text as its words' stems, one space apart and at both ends, so that runs of words can be looked for."""
    words = _WORD.findall(text.lower().replace("\u2019", "'"))
    return f" {' '.join(stem(word) for word in words)} "


def leaks_of(family: Family, variant_name: str, item_sets: list[str] | None = None) -> list[Leak]:
    """What a variant names of the item sets' probes and options.

    Args:
        item_sets: names of sets; all registered outcome sets if none are given.
    """
    registered = family.data.items
    names = item_sets if item_sets is not None else [n for n, s in registered.items() if s.role == "outcome"]
    said = [(e, stems(e.text)) for e in entries(family, variant_name)]
    return [leak for name in names for leak in _leaks_of_set(family, name, said)]


def _leaks_of_set(family: Family, name: str, said: list[tuple[Entry, str]]) -> Iterator[Leak]:
    probes = family.data.items[name].probes if name in family.data.items else []
    for probe in probes:
        for term in probe.terms:
            wanted = stems(term)
            for entry, text in said:
                if wanted in text:
                    yield Leak(entry.id, entry.clause_id, name, probe.kind, term, entry.text)
    if name in family.data.items and family.data.items[name].external:
        return
    whole = "".join(text for _, text in said)
    for option, wanted in _options(family, name):
        if wanted in whole:
            for entry, text in said:
                if wanted in text:
                    yield Leak(entry.id, entry.clause_id, name, "option", option, entry.text)


@lru_cache(maxsize=64)
def _options(family: Family, name: str) -> tuple[tuple[str, str], ...]:
    """Every option of a set's items, as it is and as stems."""
    options = dict.fromkeys(o for item in family.items(name) for o in (item.aligned, item.misaligned) if o)
    found = ((option, stems(option)) for option in options if not is_label(option))
    return tuple((option, wanted) for option, wanted in found if wanted.strip())


def is_label(option: str) -> bool:
    """Whether an option only stands for one: a letter, a number, yes or no, as in `(A)`, `2.` and `Option B`.

    What it stands for is in the prompt; any text has the article "a".
    """
    words = [w for w in _WORD.findall(option.lower()) if w not in _LABELLED]
    if not words:
        return True
    return len(words) == 1 and (len(words[0]) == 1 or words[0].isdigit() or words[0] in _LABELS)
