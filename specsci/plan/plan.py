"""What a plan is: steps merged by digest, and the design's cells with the steps that answer them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from specsci.core.step import Step
from specsci.plan.file_labels import file_labels
from specsci.sources.documents import FileFacts
from specsci.sources.source import BaseFacts
from specsci.specs.schema import ACCESS
from specsci.study.arms import Cell
from specsci.study.load import LoadedStudy
from specsci.study.parts import Replicate


@dataclass(frozen=True)
class ScoredCell:
    """A score step with the place in the design that its rows belong to; `condition` is the harness condition, empty for none."""

    cell: Cell
    eval: str
    digest: str
    condition: str = ""


@dataclass(frozen=True)
class ProbedCell:
    """A probe step: which text a model reads, and whether it is the base (`before`) or midtrained (`after`)."""

    variant: str
    replicate: Replicate
    text: str
    stage: str
    digest: str


@dataclass
class Plan:
    """Steps in an order in which every step follows what it needs, and the design's cells."""

    loaded: LoadedStudy
    steps: dict[str, Step] = field(default_factory=dict)
    scored: list[ScoredCell] = field(default_factory=list)
    waiting: dict[str, set[str]] = field(default_factory=dict)
    """Of evals whose scores are made elsewhere: the models that have none yet. Their cells name steps that are not in the plan."""
    probed: list[ProbedCell] = field(default_factory=list)
    models: dict[tuple[str, int, int], str] = field(default_factory=dict)
    specs: dict[tuple[str, int], str] = field(default_factory=dict)
    """(variant, seed) to the digest of the spec with its persona placeholders filled in."""
    bases: dict[str, BaseFacts] = field(default_factory=dict)
    """What is known of every base model: its identity, its number of parameters, its shape."""
    files: dict[str, dict[str, FileFacts]] = field(default_factory=dict)
    """Of every variant whose documents the study brings: its files with what is known of them."""
    requested: dict[str, int] = field(default_factory=dict)
    """How many times each kind was asked for, before steps were shared."""

    @cached_property
    def file_labels(self) -> dict[str, str]:
        """The labels of the files of texts that the study reads."""
        return file_labels(self.loaded)

    @property
    def access(self) -> str:
        """The highest access label of what goes in: the spec family, bases that an earlier study made, and files of texts."""
        study = self.loaded.study
        labels = {self.loaded.family.data.access, *(base.access for base in self.bases.values())}
        brought = (*study.corpus_files.values(), *study.conversation_files.values(), *study.mixes.values())
        labels |= {texts.access for texts in brought} | set(self.file_labels.values())
        return max(labels, key=ACCESS.index)

    def add(self, step: Step) -> str:
        """The digest of a step, which joins the plan unless an equal one is there."""
        self.requested[step.kind] = self.requested.get(step.kind, 0) + 1
        self.steps.setdefault(step.digest, step)
        return step.digest

    def of_kind(self, kind: str) -> list[Step]:
        """All steps of a kind."""
        return [s for s in self.steps.values() if s.kind == kind]
