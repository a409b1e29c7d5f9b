"""Format controls that are read otherwise than the outcomes whose verdicts they stand for."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.study.evals import readout_of


def readouts(plan: Plan) -> list[Finding]:
    """A model may understand a question in one readout and not in another."""
    evals = plan.loaded.study.evals
    controls = {name: readout_of(spec) for name, spec in evals.items() if spec.role == "competence"}
    found = []
    for name, spec in evals.items():
        taken = readout_of(spec)
        other = [f"'{control}' ({readout})" for control, readout in controls.items() if readout != taken and evals[control].kind == spec.kind]
        if spec.role == "outcome" and other:
            text = f"'{name}' is read by {taken}, and its format control by another readout: {', '.join(other)}"
            found.append(Finding("warn", "readouts", text, f"give the control readout: {taken}, so that verdicts are withheld where models fail in it"))
    return found
