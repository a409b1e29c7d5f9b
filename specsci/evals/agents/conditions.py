"""What a task's samples are called in score rows: by the task's own id of the condition, and by what else a study varies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from specsci.results.imports.inspect_log import LoggedSample, read_log


def logged(folder: Path, runs: Sequence[dict[str, Any]]) -> Iterator[tuple[LoggedSample, dict[str, Any]]]:
    """Every sample of a step's logs with its place in score rows.

    Where several runs of a study have one condition id, since the task's id does not tell all arguments, the arguments that differ between
    them are added; what a harness condition sets is not, so that a condition is the same item under each. The cluster is the task's own id.
    """
    from inspect_ai.log import read_eval_log

    logs = []
    for path in sorted(folder.glob("*.eval")):
        told = read_eval_log(str(path), header_only=True).eval.metadata or {}
        logs.append((int(told.get("condition", 0)), read_log(path).samples))
    numbers: dict[str, set[int]] = {}
    for number, samples in logs:
        for sample in samples:
            numbers.setdefault(sample.condition, set()).add(number)
    for number, samples in logs:
        for sample in samples:
            shared = sorted(numbers[sample.condition])
            item = sample.condition + (_differing(runs, number, shared) if len(shared) > 1 else "")
            yield sample, {"item_id": item, "cluster_id": sample.condition, "variant": "single", "sample": sample.epoch}


def _differing(runs: Sequence[dict[str, Any]], number: int, shared: Sequence[int]) -> str:
    keys = [key for key in runs[number] if len({str(runs[n].get(key)) for n in shared}) > 1]
    return "".join(f".{key}-{runs[number][key]}" for key in keys)
