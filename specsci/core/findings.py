"""What is said against a number or a file: a stable code, how bad it is, and one sentence for people.

Programs read `code` and `severity`; nobody reads a verdict out of `text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["note", "warning", "withheld", "invalid"]
"""note: good to know, speaks against nothing. warning: the verdict is weaker than it looks. withheld: no verdict may be
read. invalid: what the number rests on was withdrawn or is incomplete."""
ORDER: tuple[Severity, ...] = ("invalid", "withheld", "warning", "note")


@dataclass(frozen=True)
class Flag:
    """One thing to know beside a result.

    Args:
        code: a stable name in snake_case, such as `few_clusters`.
        text: one sentence without its full stop; free text of a user may stand in it.
    """

    code: str
    severity: Severity
    text: str

    def __str__(self) -> str:
        return self.text

    def as_dict(self) -> dict[str, str]:
        """For JSON and for the database's `STRUCT(code, severity, text)`."""
        return asdict(self)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Flag:
        """The flag that a row of the database holds."""
        return cls(row["code"], row["severity"], row["text"])


def sentence(flags: Iterable[Flag | dict[str, Any]]) -> str:
    """Flags as people read them in a table's cell, the worst first."""
    found = [f if isinstance(f, Flag) else Flag.of(f) for f in flags]
    return "; ".join(f.text for f in sorted(found, key=lambda f: ORDER.index(f.severity)))


def worst(flags: Iterable[Flag | dict[str, Any]]) -> Severity | None:
    """The severest of several flags; None where there is none."""
    found = {f.severity if isinstance(f, Flag) else f["severity"] for f in flags}
    return next((s for s in ORDER if s in found), None)


Judgement = Literal["ok", "warn", "refuse"]


@dataclass(frozen=True)
class Finding:
    """One point of an examination of a file or a model.

    Args:
        check: the check's stable name in snake_case, such as `weights_complete`.
        judgement: `refuse` stops a study before anything is spent.
        text: one sentence on what was found.
        hint: what the user can do.
    """

    check: str
    judgement: Judgement
    text: str
    hint: str = ""
