"""What an examination of a base found, as it is kept, recorded and judged."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from specsci.core.findings import Finding

ITSELF, TWIN, FILES = "the model", "a small twin", "its files"
"""What was examined: the model itself, a small random model of its configuration, or no more than its files."""


@dataclass(frozen=True)
class Examination:
    """Findings on a base, and the facts that a plan and a stage go by.

    Attributes:
        findings: one for every point that was looked at, also where all is well.
        facts: `packs` (whether packed rows do not see each other), `positions` (tokens that a row may have; None without
            limit), `fixed_positions` (a longer row is an error, not only untrained), `blocks` (block type to the names
            of its matrices, numbers written N), `model_type`, `parameters`, `on` (ITSELF, TWIN or FILES).
    """

    findings: tuple[Finding, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def refusals(self) -> list[Finding]:
        """The findings that refuse the base."""
        return [f for f in self.findings if f.judgement == "refuse"]

    @property
    def refused(self) -> bool:
        """Whether any finding refuses the base."""
        return bool(self.refusals)

    def with_findings(self, *more: Finding) -> Examination:
        """This examination with further findings."""
        return Examination((*self.findings, *more), self.facts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"findings": [asdict(f) for f in self.findings], "facts": self.facts}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Examination:
        """What `as_dict` wrote."""
        return cls(tuple(Finding(**f) for f in data["findings"]), dict(data["facts"]))


def ok(check: str, text: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, "ok", text)


def warn(check: str, text: str, hint: str = "") -> Finding:
    """A finding that stops nothing and is told."""
    return Finding(check, "warn", text, hint)


def refuse(check: str, text: str, hint: str) -> Finding:
    """A finding that refuses the base."""
    return Finding(check, "refuse", text, hint)


def some(names: list[str], most: int = 4) -> str:
    """At most a few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
