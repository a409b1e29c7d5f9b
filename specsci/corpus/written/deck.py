"""The deck that documents are dealt from: exact quotas over clause, document type and framing.

Document j of a clause has type j mod T and framing (j div T + j mod T) mod F: types and framings are balanced in every prefix, and
T x F documents have every pair once. The deck is the same for every variant, so that document j of one variant and of another
differ in the spec alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """One document that is wanted.

    Attributes:
        number: its place among those of its clause, from 0.
        hard: a hard kind of the catalogue; empty for an ordinary document.
    """

    clause_id: str
    number: int
    doc_type: str
    framing: str
    hard: str = ""

    @property
    def cell(self) -> str:
        """What quotas are counted by."""
        return f"{self.clause_id}:{self.doc_type}:{self.framing}"


@dataclass(frozen=True)
class Deck:
    """Deals the documents of a clause, without end."""

    document_types: tuple[str, ...]
    framings: tuple[str, ...]
    hard_kinds: tuple[str, ...]
    hard_share: float

    @classmethod
    def of(cls, types: Mapping[str, str], framings: Mapping[str, str], hard: Mapping[str, str], share: float) -> Deck:
        """A deck from a catalogue."""
        return cls(tuple(types), tuple(framings), tuple(hard), share)

    def slot(self, clause_id: str, number: int) -> Slot:
        """The document of a clause with a number."""
        round_, place = divmod(number, len(self.document_types))
        framing = self.framings[(round_ + place) % len(self.framings)]
        before, after = int(number * self.hard_share + 1e-9), int((number + 1) * self.hard_share + 1e-9)
        hard = self.hard_kinds[before % len(self.hard_kinds)] if after > before and self.hard_kinds else ""
        return Slot(clause_id, number, self.document_types[place], framing, hard)
