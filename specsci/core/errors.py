"""The error hierarchy: every error says what happened, where, and the hint that helps.

Exit codes (fixed): 1 a step failed, 2 the user's input is wrong, 3 a gate refused, 4 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class SpecsciError(Exception):
    """Base of all errors that specsci raises on purpose.

    Args:
        what: one sentence on what is wrong.
        where: the place: `file:line:column`, a step digest, a directory.
        hint: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class UserError(SpecsciError, ValueError):
    """The user's input is wrong."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file, with its place (1-based line and column)."""

    file: str
    line: int
    column: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.what}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class InputFileError(UserError):
    """A file of the user's has one or more problems; all of them are listed."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.what))
        super().__init__("\n".join(str(p) for p in self.problems))


class MissingDependencyError(UserError, ImportError):
    """An optional package is needed and not installed."""


class GateRefused(SpecsciError):
    """A gate refused the plan or a step's result; nothing downstream was run."""

    exit_code = 3


class StepFailed(SpecsciError, RuntimeError):
    """A step raised; its stage directory was removed and nothing was published."""


class StoreError(SpecsciError, OSError):
    """The store cannot be read or written."""

    exit_code = 2


class CorruptArtifact(SpecsciError, OSError):
    """A published artefact no longer has the digests of its record."""

    def __init__(self, what: str, *, digest: str, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.digest = digest


class Interrupted(SpecsciError):
    """The user stopped the run; finished steps are kept."""

    exit_code = 4


class NotFinished(SpecsciError):
    """Work that others do is under way, such as a provider's batches; the same command goes on when it is there."""

    exit_code = 4


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint that names the closest valid name, or lists the valid ones (at most twelve)."""
    names = sorted({str(v) for v in valid})
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"valid names: {shown}" if names else "no name is valid here"
