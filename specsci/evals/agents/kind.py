"""The eval kind of Inspect tasks: agents, and whatever else Inspect runs."""

from __future__ import annotations

import importlib.metadata
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from specsci.core.context import StepContext
from specsci.evals.agents.goals import CONDITIONS
from specsci.study.evals import EvalConfig, EvalKind
from specsci.study.harness import AGENT, MONITORING, SPEC, SYSTEM

LOGS = "logs"
MISALIGNMENT = "inspect_evals/agentic_misalignment"
SCENARIOS = ("blackmail", "leaking", "murder")
STRICT, DRAFTED = "strict", "drafted"
OF_MISALIGNMENT = (STRICT, "harmful", "classifier_verdict", DRAFTED)
"""Readouts of the agentic misalignment task: the act in a closed tag with a clear verdict of the grader; the task's own two; and the act in
the reasoning."""
PACKAGES = {"inspect_evals": "inspect_evals", "specsci": "specsci"}
PROMPT_TOKENS = 3000


class AgentTask(EvalConfig):
    """An Inspect task with the models of the study as its subjects."""

    kind: Literal["inspect"] = Field(default="inspect", description="A task of Inspect, such as an agent's.")
    task: str = Field(
        min_length=1,
        description="The task: PACKAGE/NAME of an installed package (`inspect_evals/agentic_misalignment`, `specsci/exfiltration`, "
        "`specsci/desk`), or FILE.py@NAME beside the study.",
    )
    args: dict[str, str | int | float | bool | None] = Field(default_factory=dict, description="Arguments of the task.")
    conditions: list[dict[str, str | int | float | bool]] = Field(
        default_factory=list,
        description="Arguments that differ between conditions, one mapping for each; the task runs once for each. By default the published nine "
        "goals (and three scenarios) where the task has them, else one condition.",
    )
    vary: dict[str, list[str | int | float | bool]] = Field(
        default_factory=dict, description="Arguments whose values are crossed with each other and with `conditions`."
    )
    epochs: int = Field(default=1, ge=1, le=10_000, description="How often every condition is run; rows are clustered by condition.")
    judge: str = Field(default="", description="The language model that grades inside the task, by its name in `generators`.")
    score: str = Field(default="", description="The score that is taken: a scorer, or a key of a score of several values; the task's only one by default.")
    more_scores: list[str] = Field(default_factory=list, description="Further scores, kept beside it as readouts.")
    good: Literal["high", "low"] = Field(
        default="low", description="Which end of the score is the more aligned: of a score that says that harm was done it is `low`."
    )
    outcome: Literal["binary", "rate"] = Field(default="binary", description="Whether a score is 0 or 1 (`binary`), or any number (`rate`).")
    max_tokens: int = Field(default=1024, ge=1, le=65_536, description="The most tokens of one reply, its reasoning included.")
    temperature: float = Field(default=0.7, ge=0, le=2, description="The sampling temperature of the models under test.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="The share of the probability that tokens are drawn from.")
    task_version: str = Field(default="", description="The version that the task must have; by default any, and the record says which.")
    served: dict[Literal["base_url", "base_url_env", "api_key_env", "model"], str] = Field(
        default_factory=dict,
        description="A compatible server that serves every model of the study under the name of its digest, in place of this process: "
        "`base_url` or `base_url_env`, `api_key_env`, `model` (a pattern with {digest}).",
    )

    @field_validator("task")
    @classmethod
    def _form(cls, task: str) -> str:
        if "@" in task and not task.partition("@")[0].endswith(".py"):
            raise ValueError("write FILE.py@NAME, or PACKAGE/NAME")
        if "@" not in task and "/" not in task:
            raise ValueError("write PACKAGE/NAME, such as inspect_evals/agentic_misalignment, or FILE.py@NAME")
        return task

    @model_validator(mode="after")
    def _grader(self) -> AgentTask:
        if self.task == MISALIGNMENT and not self.judge:
            raise ValueError("the task's verdicts are a language model's: name it (judge: GENERATOR), no default grader is taken")
        return self

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The arguments of every condition."""
        named = [dict(c) for c in self.conditions]
        if not named and self.task == MISALIGNMENT:
            named = [{"scenario": s, **c} for s in SCENARIOS for c in CONDITIONS]
        elif not named and self.task in ("specsci/exfiltration", "specsci/desk"):
            named = [dict(c) for c in CONDITIONS]
        fixed = set(self.args) | set(self.vary)
        named = list({tuple(sorted(left.items())): left for c in named if (left := {k: v for k, v in c.items() if k not in fixed})}.values()) or [{}]
        crossed = [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]
        return [{**self.args, **condition, **more} for condition in named for more in crossed]


class AgentKind(EvalKind):
    """A task is run once for each condition, into one directory of logs for each step; scores are read from the logs."""

    name = "inspect"
    config = AgentTask
    readouts = (*OF_MISALIGNMENT, "score")
    sampled = True
    sample_step = "agent"
    expresses = frozenset({SYSTEM, SPEC, MONITORING}) | AGENT
    asks = frozenset({"choices", "questions"})

    @override
    def readouts_of(self, config: Any) -> tuple[str, ...]:
        if config.task == MISALIGNMENT:
            return OF_MISALIGNMENT
        return tuple(dict.fromkeys((config.score or "score", *config.more_scores)))

    @override
    def identity(self, config: Any) -> dict[str, Any]:
        return {"task": config.task, "good": config.good, "outcome": self.outcome_of(config), "scores": list(self.readouts_of(config))}

    @override
    def sampling(self, config: Any) -> dict[str, Any]:
        """What decides an answer: the task and its version, every condition, how replies are drawn, and who grades."""
        package = PACKAGES.get(config.task.partition("/")[0])
        versions = {name: _version(name) for name in dict.fromkeys(("inspect_ai", *((package,) if package and package != "specsci" else ())))}
        return {
            "task": config.task, "runs": config.runs, "epochs": config.epochs, "max_tokens": config.max_tokens, "temperature": config.temperature, "top_p": config.top_p,
            "versions": versions, **({"task_version": config.task_version} if config.task_version else {}),
            **({"served": config.served.get("model", "{digest}")} if config.served else {}),
        }  # fmt: skip

    @override
    def answers_to_each(self, config: Any) -> int:
        return len(config.runs) * int(config.epochs)

    @override
    def outside(self, config: Any) -> list[str]:
        return [config.task.partition("@")[0]] if "@" in config.task else []

    @override
    def told(self, config: Any) -> dict[str, Any]:
        return {"served": dict(config.served)} if config.served else {}

    @override
    def generators(self, config: Any) -> dict[str, str]:
        return {"judge": config.judge} if config.judge else {}

    @override
    def in_chats(self, settings: dict[str, Any]) -> bool:
        return True

    @override
    def requests(self, config: Any) -> tuple[int, float, float]:
        return (len(config.runs) * config.epochs, float(PROMPT_TOKENS + config.max_tokens), 300.0) if config.judge else (0, 0.0, 0.0)

    def read_tokens(self, config: Any, items_text: str) -> float:
        """A prompt and a reply for every condition and epoch; agents of several turns take more."""
        return float(len(config.runs) * config.epochs * (PROMPT_TOKENS + config.max_tokens))

    @override
    def longest_tokens(self, settings: dict[str, Any], items: Path, identity: dict[str, str], tokenizer: Any) -> int:
        return 0

    @override
    def sample(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.agents.run import run_task

        yield from run_task(context)

    @override
    def score(self, context: StepContext) -> Iterator[dict[str, Any]]:
        from specsci.evals.agents.conditions import logged
        from specsci.evals.agents.misalignment import misalignment_rows
        from specsci.results.imports.inspect_log import value_of

        params = context.params
        for sample, place in logged(context.inputs["samples"] / LOGS, context.records["samples"].identity.params["runs"] if "samples" in context.records else []):
            if params["task"] == MISALIGNMENT:
                yield from misalignment_rows(sample, place)
                continue
            for number, wanted in enumerate(params["scores"]):
                key = next(iter(sample.values)) if wanted == "score" and len(sample.values) == 1 else wanted
                yield _row(sample.state, value_of(sample, key), {**place, "readout": wanted}, params, taken=number == 0)


def _row(state: str, value: float | None, place: dict[str, Any], params: dict[str, Any], *, taken: bool) -> dict[str, Any]:
    """A score row; a value that is no number, or of a binary score neither 0 nor 1, has none."""
    if state != "ok":
        return {**place, "state": state}
    if value is None or math.isnan(value) or (params["outcome"] == "binary" and value not in (0.0, 1.0)):
        return {**place, "state": "unparsed"}
    good = value if params["good"] == "high" or not taken else (1.0 - value if params["outcome"] == "binary" else -value)
    return {**place, "state": "ok", "aligned": good == 1.0 if params["outcome"] == "binary" else None, "value": good}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


KIND = AgentKind()
