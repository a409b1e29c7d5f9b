"""The difference of two spec texts, clause by clause: enough to make the second from the first."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from specsci.specs.text import Entry

Kind = Literal["removed", "added", "reworded", "moved"]


@dataclass(frozen=True)
class Change:
    """One change of one entry. `at` is the place in the second text (from 0) of what is added or moved there."""

    kind: Kind
    id: str
    old: Entry | None
    new: Entry | None
    at: int | None = None

    @property
    def entry(self) -> Entry:
        """The entry as it is now, or as it was where it is gone."""
        found = self.new or self.old
        assert found is not None
        return found

    def as_dict(self) -> dict[str, Any]:
        """The change as plain values."""
        old, new = (asdict(e) if e else None for e in (self.old, self.new))
        return {"kind": self.kind, "id": self.id, "clause_id": self.entry.clause_id, "old": old, "new": new, "at": self.at}


def diff(first: Sequence[Entry], second: Sequence[Entry]) -> list[Change]:
    """What turns one text into another: removed, added, reworded and moved entries, by id.

    An entry that is moved and reworded gives two changes. Ids are distinct within a text.
    """
    before, after = ({e.id: e for e in side} for side in (first, second))
    place = {e.id: number for number, e in enumerate(second)}
    stays = _longest_rising([place[e.id] for e in first if e.id in after])
    changes = [Change("removed", e.id, e, None) for e in first if e.id not in after]
    for number, entry in enumerate(second):
        old = before.get(entry.id)
        if old is None:
            changes.append(Change("added", entry.id, None, entry, number))
            continue
        if old != entry:
            changes.append(Change("reworded", entry.id, old, entry))
        if number not in stays:
            changes.append(Change("moved", entry.id, old, entry, number))
    return changes


def apply(first: Sequence[Entry], changes: Sequence[Change]) -> list[Entry]:
    """The second text, from the first and their difference."""
    gone = {c.id for c in changes if c.kind in ("removed", "moved")}
    new = {c.id: c.new for c in changes if c.kind == "reworded" and c.new}
    out = [new.get(e.id, e) for e in first if e.id not in gone]
    placed = [(c.at, c.new) for c in changes if c.kind in ("added", "moved")]
    for at, entry in sorted(placed, key=lambda p: p[0] if p[0] is not None else 0):
        assert at is not None and entry is not None
        out.insert(at, entry)
    return out


def _longest_rising(places: list[int]) -> set[int]:
    """The members of a longest rising run of distinct places: what keeps its order, so that the rest has moved."""
    ends: list[int] = []
    ends_at: list[int] = []
    previous: list[int] = []
    for number, place in enumerate(places):
        at = bisect.bisect_left(ends, place)
        previous.append(ends_at[at - 1] if at else -1)
        ends[at : at + 1] = [place]
        ends_at[at : at + 1] = [number]
    out: set[int] = set()
    number = ends_at[-1] if ends_at else -1
    while number >= 0:
        out.add(places[number])
        number = previous[number]
    return out


def lines(changes: Sequence[Change]) -> list[str]:
    """The difference as a person reads it, a sign before each line as in other diffs."""
    out: list[str] = []
    for change in changes:
        head = f"{change.kind} {change.entry.part} {change.id}"
        if change.kind == "moved":
            out.append(f"{head} (to place {(change.at or 0) + 1})")
            continue
        out.append(head)
        out += [f"  - {change.old.text}"] if change.old else []
        out += [f"  + {change.new.text}"] if change.new else []
    return out
