"""The protocol of a model source: what a study's `source:` may name, and how such a base is known, fetched and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from specsci.core.errors import UserError

if TYPE_CHECKING:
    from specsci.core.context import StepContext
    from specsci.recipe.memory import Shape

EXAMINED = {"examination": 1}
"""Identity of a base that is examined in its step: models that were trained from it before, when packed rows were taken to be
isolated and answers to lie where a search found them, are other models."""
Said = str | list[dict[str, str]]
"""A document, or the messages of a conversation."""


@dataclass(frozen=True)
class BaseFacts:
    """What a plan knows of a base model without loading it.

    Attributes:
        base: the values that identify its weights: params of its `base` step.
        tokenizer: those of its tokenizer.
        parameters: how many there are; None where its name and its files do not tell.
        shape: what memory estimates go by.
        weights_bytes: the size of its files.
        path: its directory, where it is on this machine and is to be examined before the study runs.
        opening: what its tokenizer puts before every text; None where a registry vouches for it.
        access: the label that it carries.
        fetched_later: whether its files come with its `base` step, so that nothing of it can be examined before.
    """

    base: dict[str, Any]
    tokenizer: dict[str, Any]
    parameters: int | None = None
    shape: Shape | None = None
    weights_bytes: int | None = None
    path: Path | None = None
    opening: str | None = None
    access: str = "public"
    fetched_later: bool = False


@dataclass(frozen=True)
class Registered:
    """What a registry vouches for of bases whose every byte it holds, so that no examination is needed.

    Attributes:
        packs: whether packed rows do not see each other.
        on: what the facts rest on.
        text: the finding that a record keeps.
    """

    packs: bool = True
    on: str = "its registry"
    text: str = "its weights are those of the registry, which were proved when they were entered"


class ModelSource(ABC):
    """One way to name a base model.

    Attributes:
        prefix: what names of this source begin with, such as `hub:`; empty for plain paths, of which there is one.
        example: how a name looks, for hints.
        disclaimer: a sentence that tables and cards print of every model that comes of it; empty for none.
        registered: set where each base's every byte is registered and was examined when it was entered.
    """

    prefix: ClassVar[str]
    example: ClassVar[str]
    disclaimer: ClassVar[str] = ""
    registered: ClassVar[Registered | None] = None

    @abstractmethod
    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        """What identifies a base, without loading it and without torch.

        Raises:
            UserError: the source has no base of that name.
        """

    @abstractmethod
    def made(self, params: dict[str, Any]) -> bool:
        """Whether the params of a `base` or `tokenizer` step are of this source."""

    @abstractmethod
    def write_base(self, context: StepContext, target: Path) -> dict[str, Any]:
        """Write the base's files into a directory in the Hugging Face layout; returns facts for its record.

        Raises:
            StepFailed, CorruptArtifact: the files cannot be had, or are not those that were declared.
        """

    @abstractmethod
    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        """Write the tokenizer's files into a directory; raises as `write_base` does."""

    def missing(self, name: str) -> tuple[str, str] | None:
        """What must be installed before the base can be written, and the command that does it; None where nothing."""
        return None

    def license(self, name: str) -> str:
        """The licence of a base, as the hub names licences; empty where it is not known."""
        return ""

    def pinned(self, name: str) -> bool:
        """Whether the name can mean no other model tomorrow."""
        return True

    def pin(self, name: str) -> str:
        """The pinned name of what the name means today.

        Raises:
            UserError: it cannot be found out.
        """
        return name

    def trusting(self, name: str, base: dict[str, Any]) -> dict[str, Any]:
        """The identity of a base whose own Python code may run.

        Raises:
            UserError: it brings none, or it is not pinned.
        """
        raise UserError(f"'{name}' brings no code of its own", hint="remove trust_remote_code")

    def local(self, name: str, *, trusted: bool) -> Path | None:
        """The base's directory on this machine, fetched where it must be; None where it is registered instead."""
        return None

    def tokenizer(self, name: str) -> Any:
        """The tokenizer of a name, for counting tokens.

        Raises:
            UserError: this source has none by name.
        """
        raise UserError(f"no tokenizer by the name '{name}'", hint="name a model directory with a tokenizer.json")

    def text_identity(self, name: str) -> dict[str, Any] | None:
        """What identifies the base's own pretraining text; None where it does not come with it.

        Raises:
            UserError: there is no such base.
        """
        return None

    def texts(self, name: str, what: str, seed: int) -> Iterator[Said]:
        """That text, endlessly: `documents` or `conversations`, in an order that the seed draws."""
        raise UserError(f"'{name}' does not come with its pretraining text")
