"""A step: one unit of work with an identity, inputs, and runtime facts that are not identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from specsci.core.ids import digest
from specsci.core.kinds import KINDS

OUTSIDE = "outside"
"""Key of `runtime`: the folder of the outside files that a step declares. An action reaches them verified, by its context."""


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        kind: what runs it; the name of a `StepKind`.
        params: the declared values; with the kind's version and the inputs' digests they are the identity.
        inputs: role to digest of the step that makes the input.
        label: what a person reads.
        runtime: paths and settings that the execution needs and that decide nothing.
        after: digests that must exist first although they are not inputs (gates).
        cost: estimates for the plan: tokens, updates, seconds, bytes.
    """

    kind: str
    params: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    label: str = ""
    runtime: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that the digest is over."""
        return {
            "kind": self.kind,
            "version": KINDS[self.kind].version,
            "params": self.params,
            "inputs": self.inputs,
        }

    @cached_property
    def digest(self) -> str:
        """Digest of the identity: the name of the artefact."""
        return digest(self.identity)

    @property
    def needs(self) -> set[str]:
        """Digests that must be there before this step can run."""
        return {*self.inputs.values(), *self.after}


def with_needs(steps: Mapping[str, Step], wanted: Iterable[str]) -> dict[str, Step]:
    """Some steps, by their digests, with all that they need, in the order that they have in a plan."""
    found, left = set[str](), list(wanted)
    while left:
        digest = left.pop()
        if digest not in found:
            found.add(digest)
            left += steps[digest].needs
    return {d: s for d, s in steps.items() if d in found}
