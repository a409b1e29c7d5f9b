"""Logs of other programs as an import's rows: an answer per sample, its score told as aligned or not.

What a score means only its user knows: which end of it is aligned must be said, and from which value on where it is no 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from specsci.core.errors import UserError, nearest
from specsci.core.ids import file_sha256
from specsci.results.imports.check import Given, checked
from specsci.results.sheet import Column, Sheet, sha256_of

SUFFIXES = (".eval", ".json", ".jsonl")
"""Files that are logs; others are tables."""


@dataclass(frozen=True)
class Reading:
    """How a log's scores become answers.

    Attributes:
        aligned: which end of the score is aligned.
        score: the score's key; None where a log has one alone.
        threshold: from this value on a score is high; None where scores are 0 and 1.
        eval: the eval's name; None: the task's.
        models: a log's model to arm and seed; other models are arms by their own name, with seed 0.
        condition: the task argument that names harness conditions.
    """

    aligned: Literal["high", "low"]
    score: str | None = None
    threshold: float | None = None
    eval: str | None = None
    models: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    condition: str | None = None

    def said(self) -> str:
        """These settings in a line, for the import's record."""
        models = ",".join(f"{model}={arm}:{seed}" for model, (arm, seed) in sorted(self.models.items()))
        parts = {"aligned": self.aligned, "score": self.score, "threshold": self.threshold, "eval": self.eval, "models": models, "condition": self.condition}
        return " ".join(f"{key}={value}" for key, value in parts.items() if value not in (None, ""))


@dataclass(frozen=True)
class Answer:
    """One scored sample of a log; `values` are its scores by key, NaN where one has no number."""

    model: str
    task: str
    item: str
    cluster: str | None
    epoch: int
    state: str
    values: Mapping[str, float]
    condition: str | None = None


def is_log(path: Path) -> bool:
    """Whether a file is read as a log and not as a table."""
    return path.suffix.lower() in SUFFIXES


def read_logs(files: Sequence[Path], reading: Reading) -> Given:
    """The answers of logs, checked as an import's rows are.

    Raises:
        UserError: a file is no log, files are of two kinds, a score cannot be told, or a named model answers nowhere.
        InputFileError: what the rules for imported rows refuse.
    """
    found, key = answers_in(files, reading)
    sha = sha256_of("".join(sorted(map(file_sha256, files))).encode())
    name = files[0].name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    return checked(_sheet(name, sha, [_row(one, key, reading) for one in found]), read_as=reading.said())


def answers_in(files: Sequence[Path], reading: Reading, *, every_argument: bool = False) -> tuple[list[Answer], str]:
    """The answers of logs, and the key of the score that is read; raises UserError as `read_logs` does.

    Args:
        every_argument: whether items are named by all arguments of their task, and not by those alone in which the logs differ; then an
            item has one name whichever logs are read together.
    """
    kinds = {path.suffix.lower() == ".jsonl" for path in files}
    if len(kinds) > 1 or not all(map(is_log, files)):
        raise UserError("the files are of different kinds", hint="give logs of Inspect (.eval), or sample files of lm-eval (.jsonl), or one table")
    if len({path.resolve() for path in files}) < len(files):
        raise UserError("a file is given twice", hint="give each once")
    if kinds == {True}:
        from specsci.results.imports.lm_eval import answers_of

        found = answers_of(list(files), reading.condition)
    else:
        from specsci.results.imports import inspect_answers

        found = inspect_answers.answers_of(list(files), reading.condition, every_argument=every_argument)
    _check_models(found, reading)
    return found, _key(found, reading.score)


def _check_models(found: list[Answer], reading: Reading) -> None:
    models = sorted({one.model for one in found})
    for model in reading.models:
        if model not in models:
            raise UserError(f"no log has answers of the model '{model}'", hint=nearest(model, models) or f"the models are {', '.join(models[:8])}")


def _key(found: list[Answer], wanted: str | None) -> str:
    """The score that is read; by its whole key, or the part behind the scorer's name."""
    keys = sorted({key for one in found for key in one.values})
    if not keys:
        raise UserError("the logs hold no scores", hint="score them first, with `inspect score`")
    if wanted is None:
        if len(keys) > 1:
            raise UserError("the logs hold several scores", hint=f"name one with --score: {', '.join(keys[:12])}")
        return keys[0]
    fitting = [key for key in keys if key == wanted] or [key for key in keys if key.rpartition("/")[2] == wanted]
    if len(fitting) != 1:
        raise UserError(f"the logs have no score '{wanted}'" if not fitting else f"'{wanted}' is the name of several scores", hint=f"there are {', '.join(keys[:12])}")
    return fitting[0]


def row_of_answer(one: Answer, key: str, reading: Reading, binary: bool) -> dict[str, Any]:
    """An answer as a row of scores (see `specsci.evals.printed`) with its model; raises UserError where a score is neither 0 nor 1."""
    value, state = _value(one, key)
    answer = {} if state != "ok" else {"aligned": _is_aligned(one, key, value, reading)} if binary else {"value": value}
    cluster = {"cluster_id": one.cluster} if one.cluster else {}
    return {"model": one.model, "item_id": one.item, **cluster, "sample": one.epoch, "state": state, **answer}


def _value(one: Answer, key: str) -> tuple[float, str]:
    """An answer's score, and its state: without a number it is unparsed."""
    value = one.values.get(key, math.nan)
    return value, "unparsed" if one.state == "ok" and not math.isfinite(value) else one.state


def _is_aligned(one: Answer, key: str, value: float, reading: Reading) -> bool:
    if reading.threshold is None and value not in (0, 1):
        raise UserError(
            f"the score '{key}' of '{one.item}' is {value:g}, neither 0 nor 1", hint="say with --threshold from which value on it is high, or name another score"
        )
    return (value >= (0.5 if reading.threshold is None else reading.threshold)) == (reading.aligned == "high")


def _row(one: Answer, key: str, reading: Reading) -> dict[str, Any]:
    value, state = _value(one, key)
    aligned = state == "ok" and _is_aligned(one, key, value, reading)
    arm, seed = reading.models.get(one.model, (one.model, 0))
    return {
        "arm": arm, "seed": seed, "eval": reading.eval or one.task, "item_id": one.item, "cluster_id": one.cluster, "sample": one.epoch,
        "state": state, "aligned": int(aligned), "valid": int(state == "ok"), "attempted": 1,
        "harness": one.condition,
    }  # fmt: skip


def _sheet(name: str, sha: str, rows: list[dict[str, Any]]) -> Sheet:
    columns = {}
    for column in rows[0] if rows else ():
        values = [row[column] for row in rows]
        distinct = {value: number for number, value in enumerate(dict.fromkeys(values))}
        if column == "harness" and list(distinct) == [None]:
            continue
        columns[column] = Column(list(distinct), np.array([distinct[value] for value in values], np.int32))
    if not rows:
        raise UserError(f"'{name}' holds no samples", hint="give the logs of a run that answered something")
    return Sheet(name, sha, columns, len(rows), lambda row, _: (row + 1, 1), row_word="answer")

