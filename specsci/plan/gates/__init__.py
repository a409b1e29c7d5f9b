"""Gates on a plan: what must hold before anything is spent. One file each subject; `GATES` names them all."""

from __future__ import annotations

from collections.abc import Callable

from specsci.core.errors import GateRefused
from specsci.plan.gates.access import access
from specsci.plan.gates.bases import bases
from specsci.plan.gates.design import confounds_of_contrasts, enough_replicates, evals
from specsci.plan.gates.dose import enough_updates, equal_tokens
from specsci.plan.gates.family import family, specs
from specsci.plan.gates.files import files
from specsci.plan.gates.finding import Finding
from specsci.plan.gates.generators import generators
from specsci.plan.gates.leaks import leaks
from specsci.plan.gates.machine import memory_of, memory_of_stages
from specsci.plan.gates.pins import packages, pins
from specsci.plan.gates.programs import programs
from specsci.plan.gates.readouts import readouts
from specsci.plan.plan import Plan

__all__ = ["GATES", "Finding", "findings", "memory_of", "refuse_if_needed"]

GATES: tuple[Callable[[Plan], list[Finding]], ...] = (
    family,
    specs,
    access,
    enough_updates,
    confounds_of_contrasts,
    enough_replicates,
    evals,
    programs,
    readouts,
    leaks,
    equal_tokens,
    files,
    generators,
    packages,
    pins,
    memory_of_stages,
    bases,
)
"""Every gate, in the order in which findings of one level are shown."""


def findings(plan: Plan) -> list[Finding]:
    """All findings, refusals first.

    Raises:
        InputFileError: a base model is refused by its examination, at its line of the study.
    """
    found = [finding for gate in GATES for finding in gate(plan)]
    return sorted(found, key=lambda f: ("refuse", "warn", "note").index(f.level))


def refuse_if_needed(plan: Plan) -> list[Finding]:
    """The findings, if none of them refuses; raises GateRefused with all that do."""
    found = findings(plan)
    refused = [f for f in found if f.level == "refuse"]
    if refused:
        text = "; ".join(f"{f.gate}: {f.text}" for f in refused)
        raise GateRefused(text, where=str(plan.loaded.file), hint="; ".join(f.hint for f in refused if f.hint))
    return found
