"""Kinds of steps: one object per kind says all that the rest of the tree must know of it.

A kind lies beside its action, in the `kinds` module of its package. An installed package adds its own by an entry point of the
group `specsci.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from specsci.core.registry import Registry

TORCH = "torch"
"""What a step may need in its worker."""


@dataclass(frozen=True)
class Rows:
    """How the rows of a kind's artefacts come into the database.

    Attributes:
        file: the Parquet file that every artefact of the kind holds.
        table: the table that takes them; its first column is `step_digest`.
        select: the table's other columns as SQL over the file's rows `r` and the values `record` of the step's record.
        of_record: what `record` has: a name, and where the value lies in the record (`identity.params.family`;
            several, `|` between them, where the first may be missing).
        later: columns of text that files of earlier versions do not have; they have no value there.
    """

    file: str
    table: str
    select: str
    of_record: tuple[tuple[str, str], ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepKind:
    """One kind of step.

    Attributes:
        name: what identities, folders and tables call it.
        action: `module:function`, which takes a `StepContext` and returns facts for the record.
        version: bumped by hand when the code changes what it computes; the bump re-runs the kind's steps.
        needs: TORCH where the action needs torch in its worker; else empty.
        rows: what the database takes from its artefacts; `more_rows` beside it, from files that every artefact has too.
        trains: whether it trains a model: its time grows with its arithmetic, and it may take several devices.
        holds_model: whether its artefact is a model.
        holds_texts: whether its artefact holds texts that a model reads or learns.
        labelled: whether its artefact carries the access label of the family it was made of.
        compared: whether two studies' artefacts of the kind are compared one by one.
        timed: whether earlier steps of the kind tell how long the next ones take.
        asks: whether it asks a language model, which may cost money and take the network.
        of_eval: whether it belongs to an eval, and not to what is trained.
    """

    name: str
    action: str
    version: int = 1
    needs: frozenset[str] = frozenset()
    rows: Rows | None = None
    more_rows: tuple[Rows, ...] = ()
    trains: bool = False
    holds_model: bool = False
    holds_texts: bool = False
    labelled: bool = False
    compared: bool = False
    timed: bool = False
    asks: bool = False
    of_eval: bool = False

    def load_action(self) -> Callable[[Any], dict[str, Any]]:
        """The function that runs a step of the kind, imported when first needed."""
        module, _, name = self.action.partition(":")
        action: Callable[[Any], dict[str, Any]] = getattr(import_module(module), name)
        return action


BUILT_IN = (
    "specsci.models.kinds:KINDS",
    "specsci.corpus.kinds:KINDS",
    "specsci.train.kinds:KINDS",
    "specsci.corpus.kinds:PROBE_KINDS",
    "specsci.evals.kinds:KINDS",
)
KINDS: Registry[StepKind] = Registry("specsci.kinds", "kind of step", BUILT_IN, lambda kind: kind.name, StepKind)
"""All kinds, in the order in which a study's steps follow each other."""


def names(wanted: Callable[[StepKind], bool]) -> tuple[str, ...]:
    """The names of the kinds of which something holds, in order."""
    return tuple(kind.name for kind in KINDS if wanted(kind))


def trains(kind: str) -> bool:
    """Whether steps of a kind train a model; a kind whose package is gone does not."""
    found = KINDS.get(kind)
    return found is not None and found.trains
