"""What an action gets: its step, where its inputs lie, where to write, and how to report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specsci.core.outside import copy_all_verified, copy_verified
from specsci.core.record import Record

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
        outside: the folder that the step's outside files lie in. Read them with `external` and `take_externals` only,
            which check every file against the digest that the step declares.
        store: the store's directory, for the request ledger.
    """

    kind: str
    digest: str
    params: dict[str, Any]
    inputs: dict[str, Path]
    records: dict[str, Record]
    input_digests: dict[str, str]
    out: Path
    scratch: Path
    runtime: dict[str, Any] = field(default_factory=dict)
    progress: Progress = lambda done, total: None
    checkpoints: Path | None = None
    outside: str = ""
    store: Path | None = None

    @property
    def declared_files(self) -> dict[str, str]:
        """The outside files that the step's params declare, by their path, with their SHA-256."""
        source = {self.params["source"]: self.params["sha256"]} if "sha256" in self.params else {}
        mixed = {file: told["sha256"] for file, told in self.params.get("mix", {}).items()}
        return {**self.params.get("files", {}), **mixed, **source}

    def external(self, name: str) -> Path:
        """A verified copy of an outside file, in `scratch`.

        Raises:
            KeyError: the step does not declare it.
            StepFailed: it changed after the plan was made.
        """
        return copy_verified(Path(self.outside) / name, self.scratch / "outside" / name, self.declared_files[name], name)

    def take_externals(self, target: Path) -> None:
        """Verified copies of all declared outside files below `target`; raises StepFailed as `external` does."""
        copy_all_verified(Path(self.outside), self.declared_files, target)
