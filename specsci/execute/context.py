"""What an action gets: its step, where its inputs lie, where to write, and how to report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

Progress = Callable[[int, int], None]
Facts = dict[str, Any]


@dataclass(frozen=True)
class StepContext:
    """One step as its action sees it.

    Attributes:
        params: the step's declared values.
        inputs: role to the directory of the artefact.
        records: role to the artefact's record.
        out: the stage directory; what is written there is the artefact.
        scratch: a directory that is thrown away.
        checkpoints: where a long step keeps what it goes on from after an interruption; gone once it is published.
    """

    kind: str
    digest: str
    params: dict[str, Any]
    inputs: dict[str, Path]
    records: dict[str, dict[str, Any]]
    input_digests: dict[str, str]
    out: Path
    scratch: Path
    runtime: dict[str, Any] = field(default_factory=dict)
    progress: Progress = lambda done, total: None
    checkpoints: Path | None = None


ACTIONS = {
    "spec": "specsci.corpus.steps:run_spec",
    "pool": "specsci.corpus.steps:run_pool",
    "corpus": "specsci.corpus.steps:run_corpus",
    "conversations": "specsci.corpus.steps:run_conversations",
    "audit": "specsci.corpus.audit:run_audit",
    "tokenizer": "specsci.models.steps:run_tokenizer",
    "base": "specsci.models.steps:run_base",
    "midtrain": "specsci.train.steps:run_midtrain",
    "align": "specsci.train.steps:run_align",
    "score": "specsci.evals.steps:run_score",
    "heldout": "specsci.corpus.steps:run_corpus",
    "control": "specsci.corpus.steps:run_control",
    "probe": "specsci.evals.probe:run_probe",
}


def action_of(kind: str) -> Callable[[StepContext], Facts]:
    """The function that runs a kind of step, imported when first needed."""
    module, name = ACTIONS[kind].split(":")
    action: Callable[[StepContext], Facts] = getattr(import_module(module), name)
    return action
