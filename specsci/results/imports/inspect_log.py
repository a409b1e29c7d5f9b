"""Inspect logs as rows: one for each sample, epoch and score key; what has no number has a state.

Error becomes `error`, a limit or a reply at its token limit `truncated`, a filtered reply `refused`, an unscored sample or a score that is no
number `unparsed`, an invalidated sample is left out. A sample that another model answered (a fallback) is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.extras import need

YES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": math.nan, "yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}
"""Inspect's letters for correct, incorrect, partly correct and no answer, and words."""


@dataclass(frozen=True)
class LoggedSample:
    """One sample of a log.

    Attributes:
        uuid: its id in the world; rows are the same where it is.
        condition: the task's own id of what was asked (`condition_id` of its metadata), else the sample's id.
        values: scorer and key (`scorer`, or `scorer/key` of a score of several values) to number; NaN where it has none.
        explanations: scorer to what it says of itself.
        reply, reasoning: the last message of the model, taken apart.
        state: `ok` where the sample ran to its end.
    """

    uuid: str
    sample_id: str
    condition: str
    epoch: int
    state: str
    values: Mapping[str, float]
    explanations: Mapping[str, str]
    reply: str
    reasoning: str
    messages: tuple[tuple[str, str], ...]
    turns: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Logged:
    """A log's head."""

    task: str
    task_version: str
    task_args: Mapping[str, Any]
    model: str
    approval: bool
    status: str
    samples: tuple[LoggedSample, ...]
    created: str = ""


def read_log(path: Path) -> Logged:
    """A log with its samples.

    Raises:
        UserError: it cannot be read, did not finish, or holds a sample twice.
    """
    need("inspect_ai", "reading logs of Inspect")
    from inspect_ai.log import read_eval_log

    try:
        log = read_eval_log(str(path), resolve_attachments=False)
    except Exception as error:  # a stranger's file: a zip, a JSON document, or neither
        said = str(error).splitlines()[0] if str(error) else ""
        raise UserError(f"'{path.name}' is no log of Inspect ({type(error).__name__}: {said[:120]})", hint="give an .eval or .json file of a log") from error
    if log.status not in ("success", "error", "cancelled"):
        raise UserError(f"'{path.name}' has not finished (status {log.status})", hint="wait for it, or recover it with `inspect log recover`")
    samples = tuple(_samples(log))
    seen: set[tuple[str, int]] = set()
    for sample in samples:
        if (sample.sample_id, sample.epoch) in seen:
            raise UserError(f"'{path.name}' has sample '{sample.sample_id}' twice in epoch {sample.epoch}", hint="import the logs of one run")
        seen.add((sample.sample_id, sample.epoch))
    spec = log.eval
    return Logged(
        spec.task, str(spec.task_version), dict(spec.task_args or {}), str(spec.model), bool(spec.config.approval), log.status, samples,
        str(spec.created),
    )  # fmt: skip


def _samples(log: Any) -> Iterator[LoggedSample]:
    for sample in log.samples or ():
        if getattr(sample, "invalidation", None) is not None:
            continue
        said = [m for m in sample.messages if m.role == "assistant"]
        reply, reasoning = _taken_apart(said[-1]) if said else ("", "")
        usage = list((sample.model_usage or {}).values())
        yield LoggedSample(
            uuid=str(sample.uuid or f"{log.eval.eval_id}/{sample.id}/{sample.epoch}"),
            sample_id=str(sample.id),
            condition=str((sample.metadata or {}).get("condition_id") or sample.id),
            epoch=int(sample.epoch),
            state=_state(sample),
            values=_values(sample.scores or {}),
            explanations={name: score.explanation or "" for name, score in (sample.scores or {}).items()},
            reply=reply,
            reasoning=reasoning,
            messages=tuple((m.role, m.text) for m in sample.messages),
            turns=len(said),
            input_tokens=sum(u.input_tokens for u in usage),
            output_tokens=sum(u.output_tokens for u in usage),
        )


def _state(sample: Any) -> str:
    if sample.error is not None:
        return "not_expressible" if "NotExpressible" in (sample.error.traceback or "") else "error"
    stop = sample.output.stop_reason if sample.output and sample.output.choices else "unknown"
    if sample.limit is not None or stop in ("max_tokens", "model_length"):
        return "truncated"
    if stop == "content_filter":
        return "refused"
    if getattr(sample, "model_fallbacks", None):
        return "error"
    return "ok" if sample.output and sample.output.choices else "error"


def _values(scores: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in scores.items():
        value = score.value
        many = value if isinstance(value, dict) else {"": value[0] if isinstance(value, list) and len(value) == 1 else value}
        for key, one in many.items():
            found[f"{name}/{key}" if key else name] = _number(one)
    return found


def _number(value: Any) -> float:
    """A score as a number; NaN where it is none."""
    if isinstance(value, bool | int | float):
        return float(value)
    if not isinstance(value, str):
        return math.nan
    text = value.strip()
    try:
        return YES[text] if text in YES else YES[text.lower()] if text.lower() in YES else float(text)
    except ValueError:
        return math.nan


def _taken_apart(message: Any) -> tuple[str, str]:
    """Text and reasoning of a message."""
    if isinstance(message.content, str):
        return message.content, ""
    reasoning = "\n".join(c.reasoning for c in message.content if c.type == "reasoning")
    return message.text, reasoning


def value_of(sample: LoggedSample, wanted: str) -> float | None:
    """A sample's value by a score's key, or by its scorer; None where the log has no such score."""
    if wanted in sample.values:
        return sample.values[wanted]
    found = [value for key, value in sample.values.items() if key.rpartition("/")[2] == wanted]
    return found[0] if len(found) == 1 else None


def keys_of(samples: tuple[LoggedSample, ...]) -> list[str]:
    """The score keys of a log."""
    return sorted({key for sample in samples for key in sample.values})
