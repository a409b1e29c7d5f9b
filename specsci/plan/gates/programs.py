"""Programs and packages that a study's evals run besides training and reading out."""

from __future__ import annotations

import shlex
from importlib.util import find_spec

from specsci.core.extras import extra_of
from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan


def programs(plan: Plan) -> list[Finding]:
    """A study of somebody else's may run any program or task: it is shown before it does. A task's package must be there."""
    found = []
    for name, spec in plan.loaded.study.evals.items():
        command, task = getattr(spec, "command", None), getattr(spec, "task", None)
        if spec.kind == "command" and isinstance(command, list):
            text = f"'{name}' runs a program for every model: {shlex.join(command)}"
            found.append(Finding("note", "programs", text, "read it first, if the study is not yours"))
        if name in plan.waiting:
            waiting, scored = plan.waiting[name], {s.digest for s in plan.scored if s.eval == name} & plan.steps.keys()
            text = f"'{name}' waits for scores of {len(waiting)} models in {getattr(spec, 'scores', 'its file')}; {len(scored)} have theirs"
            hint = "`specsci model export --study STUDY --all DIR` writes the models, `specsci results import FILE --into STUDY --eval NAME` takes scores"
            found.append(Finding("warn", "scores", text, hint))
        if spec.kind == "inspect" and isinstance(task, str):
            found += _task(name, task)
    return found


def _task(name: str, task: str) -> list[Finding]:
    """Of an Inspect task: the package that is missing, or the file whose code is run."""
    file, at, _ = task.partition("@")
    needed = ["inspect_ai", *([] if at else [task.partition("/")[0]])]
    missing = [module for module in needed if module != "specsci" and find_spec(module) is None]
    if missing:
        how = f"pip install 'specsci[{extra_of(missing[0])}]'" if extra_of(missing[0]) else f"install {missing[0]}"
        return [Finding("refuse", "packages", f"'{name}' needs {missing[0]}, which is not installed", how)]
    if at:
        return [Finding("note", "programs", f"'{name}' runs the code of {file} for every model", "read it first, if the study is not yours")]
    return []
