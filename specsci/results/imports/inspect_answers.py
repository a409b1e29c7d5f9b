"""Inspect logs made elsewhere as answers: samples are the same where their uuid is, and a later log's stand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.results.imports.answers import Answer
from specsci.results.imports.inspect_log import Logged, LoggedSample, read_log

APPROVAL = "approval"
"""A task argument that every log has: whether its calls were approved, where the task has no argument of this name."""


def answers_of(files: list[Path], condition: str | None, *, every_argument: bool = False) -> list[Answer]:
    """The answers of logs, oldest log first; `every_argument` as `answers_in` has it.

    Raises:
        UserError: a file is no finished log, logs are of different versions of a task, or two answer one sample.
    """
    logs = sorted(((read_log(path), path.name) for path in files), key=_age)
    _check_versions(logs)
    differing = _differing([log for log, _ in logs], condition)
    by_uuid: dict[str, tuple[tuple[Any, ...], LoggedSample, str]] = {}
    for log, name in logs:
        arguments = _arguments(log)
        if condition and condition not in arguments:
            raise UserError(f"'{name}' has no task argument '{condition}'", hint=nearest(condition, arguments) or f"it has {', '.join(sorted(arguments)) or 'none'}")
        named = sorted(log.task_args) if every_argument else differing[log.task]
        told = ", ".join(f"{key}={arguments.get(key)}" for key in named)
        for sample in log.samples:
            place = (log.model, log.task, sample.sample_id, told, sample.epoch, str(arguments[condition]) if condition else None)
            same = by_uuid.get(sample.uuid)
            scores = {**(same[1].values if same else {}), **sample.values}  # scored anew: other scorers' scores stay
            by_uuid[sample.uuid] = (place, replace(sample, values=scores), name)
    places: dict[tuple[Any, ...], tuple[LoggedSample, str]] = {}
    for place, sample, name in by_uuid.values():
        before = places.get(place)
        if before is not None and before[0].state != "error" and sample.state == "error":
            continue  # a try that failed takes no answer's place, in whatever order two logs of one second are read
        if before is not None and before[0].state == "ok":
            raise UserError(
                f"'{name}' answers sample '{sample.sample_id}' (epoch {sample.epoch}) by {place[0]} again; '{before[1]}' has it too",
                hint="give the logs of one run, or name what tells the runs apart with --condition",
            )
        places[place] = (sample, name)  # what failed before was tried again
    return [_answer(place, sample) for place, (sample, _) in places.items()]


def _age(found: tuple[Logged, str]) -> tuple[float, int, str]:
    """Older logs first; of a log and its copy that was scored anew (`X-scored.eval`) the copy is the later one."""
    log, name = found
    try:
        created = datetime.fromisoformat(log.created).timestamp()
    except ValueError:
        created = 0.0
    return created, len(name), name


def _answer(place: tuple[Any, ...], sample: LoggedSample) -> Answer:
    model, task, item, told, epoch, condition = place
    within = f" [{told}]" if told else ""
    return Answer(model, task, f"{item}{within}", f"{sample.condition}{within}", epoch, sample.state, sample.values, condition)


def _arguments(log: Logged) -> dict[str, Any]:
    return {APPROVAL: "yes" if log.approval else "no", **log.task_args}


def _differing(logs: list[Logged], condition: str | None) -> dict[str, list[str]]:
    """By task the arguments that tell its logs apart, which name items: scenarios that are arguments are not one item."""
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for log in logs:
        by_task[log.task].append(_arguments(log))
    for task, every in by_task.items():
        if condition != APPROVAL and len({one[APPROVAL] for one in every}) > 1:
            raise UserError(f"logs of {task} differ in '{APPROVAL}'", hint=f"these are two harness conditions: say --condition {APPROVAL}, or import them as evals of their own")
    return {
        task: sorted(key for key in set().union(*every) if key != condition and len({repr(one.get(key)) for one in every}) > 1)
        for task, every in by_task.items()
    }


def _check_versions(logs: list[tuple[Logged, str]]) -> None:
    first: dict[str, tuple[str, str]] = {}
    for log, name in logs:
        version, other = first.setdefault(log.task, (log.task_version, name))
        if version != log.task_version:
            raise UserError(
                f"'{name}' is of version {log.task_version} of {log.task}, '{other}' of version {version}",
                hint="versions of a task are not pooled: import them as evals of their own",
            )
