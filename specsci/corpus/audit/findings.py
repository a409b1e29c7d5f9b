"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from specsci.study.audit import Severity

SHOWN = 5


@dataclass(frozen=True)
class Found:
    """One finding.

    Attributes:
        code: a stable name, such as `near_duplicates`; a study accepts a finding by it.
        role: the text set that it is of, such as `corpus.rules`; several, with commas between, where it compares them.
        rows: some rows that show it, from 0.
    """

    code: str
    severity: Severity
    role: str
    text: str
    rows: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
