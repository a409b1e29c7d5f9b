"""The protocol of a generator: requests for documents in, completions out.

A corpus is made as outline -> requests -> completions -> parsed documents -> audit -> exact subset. The outline, the parsing and
what follows are one for all; a generator is the part that writes. An installed package adds its own by an entry point of the group
`specsci.generators`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from specsci.core.registry import Registry

State = Literal["ok", "refused", "truncated", "error"]


@dataclass(frozen=True)
class Request:
    """One document that is wanted.

    Attributes:
        id: its place in the corpus, the same whenever the corpus is made again.
        clause_id: the clause of the spec that it is about.
        unit_id: the unit of that clause, such as one rule with one reason.
        document_type: what sort of text, by the family's outline.
        cell: unit and document type: what quotas are of.
        slots: named texts of the unit, and the persona placeholders, such as `rule`, `reason` and `model_name`.
    """

    id: str
    clause_id: str
    unit_id: str
    document_type: str
    cell: str
    slots: Mapping[str, str]


@dataclass(frozen=True)
class Completion:
    """What was written for a request; `text` counts where the state is `ok`.

    `template_id` names what wrote it: a template of the grammar, or a prompt. `usage` are numbers for the record, such as
    `input_tokens` and `usd`.
    """

    request: Request
    text: str = ""
    state: State = "ok"
    template_id: str = ""
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Brief:
    """What all requests of one corpus share.

    Attributes:
        family_folder: the folder of the spec family.
        variant: the variant that documents are about.
        spec: its text, with persona placeholders filled in.
        settings: what the study says of the generator.
        draws: random numbers of this corpus; the outline's order comes from them too, so that a generator that draws from
            them takes requests one at a time.
        scratch: a directory that is thrown away.
    """

    family_folder: Path
    variant: str
    spec: str
    settings: Mapping[str, Any]
    draws: random.Random
    scratch: Path


class Generator(ABC):
    """Something that writes documents.

    Attributes:
        name: what studies write as `backend`.
        sends_out: whether spec texts leave this machine; such a generator needs leave for a confidential family.
        from_grammar: whether documents come from the family's grammar, whose digest is then part of their identity.
    """

    name: ClassVar[str]
    sends_out: ClassVar[bool]
    from_grammar: ClassVar[bool] = False

    @abstractmethod
    def identity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What decides its texts beside the request: model, prompt, sampling; empty where nothing does."""

    @abstractmethod
    def generate(self, requests: Iterator[Request], brief: Brief) -> Iterator[Completion]:
        """A completion for every request, in any order; requests never end, and as many are taken as are needed.

        Raises:
            StepFailed: it cannot go on.
        """


GENERATORS: Registry[Generator] = Registry(
    "specsci.generators", "generation backend", ("specsci.corpus.grammar:GENERATOR",), lambda g: g.name, Generator
)


def may_see(backend: str, access: str, allowed: Sequence[str]) -> bool:
    """Whether a backend may be given a family's texts: one that sends them out needs leave for a confidential family."""
    return access != "confidential" or not GENERATORS[backend].sends_out or backend in allowed
