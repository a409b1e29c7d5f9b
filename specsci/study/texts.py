"""Texts that a study brings itself: files of documents for a variant, files of conversations for a set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from specsci.core.yaml_file import Strict

ENDINGS = (".jsonl", ".ndjson", ".parquet")
"""How the name of a file of conversations ends that an arm names itself."""


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


FileNames = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""One file's name or several, below the study's folder."""


class _OfFiles(Strict):
    access: Literal["public", "internal", "confidential"] = Field(
        default="public", description="Who may see the files; the label goes with all that is made from the study."
    )

    @field_validator("files", check_fields=False)
    @classmethod
    def _distinct(cls, files: list[str]) -> list[str]:
        if len(set(files)) < len(files):
            raise ValueError("a file is named twice")
        return files


class CorpusFiles(_OfFiles):
    """Documents of the user's own for one variant."""

    files: FileNames = Field(
        description="JSON Lines or Parquet files beside the study with a `text` in every row, and optionally `clause_id`, "
        "`doc_type` and `source`; further keys are kept as provenance. Braces are text: nothing is filled in."
    )


class ConversationFiles(_OfFiles):
    """Conversations of the user's own, as a set that arms are fine-tuned on."""

    files: FileNames = Field(description="JSON Lines or Parquet files beside the study with `messages` in every row.")


def is_conversation_file(name: str) -> bool:
    """Whether an arm's `align` names a file, not a set."""
    return name.lower().endswith(ENDINGS)
