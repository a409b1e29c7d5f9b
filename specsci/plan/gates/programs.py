"""Programs that a study runs besides training and reading out."""

from __future__ import annotations

import shlex

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan


def programs(plan: Plan) -> list[Finding]:
    """A study of somebody else's may run any program: it is shown before it does."""
    found = []
    for name, spec in plan.loaded.study.evals.items():
        command = getattr(spec, "command", None)
        if spec.kind == "command" and isinstance(command, list):
            text = f"'{name}' runs a program for every model: {shlex.join(command)}"
            found.append(Finding("note", "programs", text, "read it first, if the study is not yours"))
    return found
