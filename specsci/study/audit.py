"""What the audit of training texts allows, and what a study accepts in writing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from specsci.core.errors import nearest
from specsci.core.yaml_file import Strict

BLOCKING = (
    "leaks",
    "near_duplicates",
    "distinct_difference",
    "pattern_difference",
    "length_difference",
    "missing_clauses",
    "wrong_identity",
    "must",
    "must_not",
    "gibberish",
    "other_language",
    "semantic_duplicates",
    "semantic_leaks",
    "policy_hallucination",
    "policy_judge",
)
"""Findings that stop a run unless the study accepts them."""


class PolicyJudge(Strict):
    """A language model that looks for statements about the model which no clause of its spec supports."""

    generator: str = Field(description="The judge, by its name in `generators`.")
    documents: int = Field(default=60, ge=1, description="The documents of every variant that are judged, the same number for every clause.")
    planted: int = Field(
        default=10,
        ge=3,
        description="How many of them are judged once more with a policy planted that no spec has, and how many clauses are shown as controls.",
    )
    max_unsupported: float = Field(
        default=0.1, ge=0, le=1, description="The largest share of statements that no clause supports, from 0 to 1."
    )
    min_found: float = Field(
        default=0.8, gt=0, le=1, description="The least share of planted policies that the judge must find, from 0 to 1."
    )
    max_false: float = Field(
        default=0.2, ge=0, le=1, description="The largest share of statements of the clauses themselves that the judge may call unsupported."
    )


class Embeddings(Strict):
    """A sentence embedding model, for texts that say the same in other words; needs the extra `embeddings`."""

    model: str = Field(description="A directory below the study's folder with a sentence embedding model, or hub:ORG/NAME@COMMIT.")
    passage_words: int = Field(default=48, ge=8, description="The words of a passage that has a vector; a text has the mean of its passages.")
    duplicate_similarity: float = Field(
        default=0.95, gt=0, le=1, description="The cosine similarity from which a text repeats an earlier one."
    )
    max_duplicates: float = Field(default=0.1, ge=0, le=1, description="The largest share of texts that repeat an earlier one, from 0 to 1.")
    item_similarity: float = Field(
        default=0.9, gt=0, le=1, description="The cosine similarity from which a passage counts as an eval item's; planted items must reach it."
    )


class AuditSettings(Strict):
    """Limits for texts that language models wrote or that the study brings; texts of a grammar are checked for leaks alone."""

    max_near_duplicates: float = Field(
        default=0.05, ge=0, le=1, description="The largest share of a variant's documents that nearly repeat an earlier one (Jaccard .8)."
    )
    max_distinct_difference: float = Field(
        default=0.05, ge=0, le=1, description="The largest difference between variants in the share of documents that repeat no other."
    )
    max_pattern_difference: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="The largest difference between variants in how many documents open alike, speak in the first person, hedge, ask, "
        "list, name stock persons, tie behaviour to a reason, or speak of monitors and evaluations.",
    )
    max_length_ratio: float = Field(
        default=1.25, ge=1, description="The largest ratio of variants' mean document lengths in words."
    )
    max_gibberish: float = Field(default=0.02, ge=0, le=1, description="The largest share of documents that are no language.")
    language: str = Field(
        default="en", pattern=r"[a-z]{2}|", description="The language of the documents by its two-letter code; empty to leave it unchecked."
    )
    max_other_language: float = Field(default=0.1, ge=0, le=1, description="The largest share of sampled documents in other languages.")
    leak_words: int = Field(
        default=10, ge=4, description="A run of so many words that a document shares with an eval item counts as a leak."
    )
    must: dict[str, list[str]] = Field(
        default_factory=dict, description="Texts of which every document of a variant must hold one, by variant; `all` for every variant."
    )
    must_not: dict[str, list[str]] = Field(
        default_factory=dict, description="Texts that no document of a variant may hold, by variant; `all` for every variant."
    )
    embeddings: Embeddings | None = Field(
        default=None, description="A sentence embedding model for duplicates and leaks in other words; none by default."
    )
    policy_judge: PolicyJudge | None = Field(
        default=None, description="A judge of statements that no clause supports; none by default."
    )
    accept: dict[str, str] = Field(
        default_factory=dict, description="Reasons in writing why findings do not matter, by their codes, such as `near_duplicates`."
    )

    @field_validator("accept")
    @classmethod
    def _codes(cls, given: dict[str, str]) -> dict[str, str]:
        for code, reason in given.items():
            if code not in BLOCKING:
                raise ValueError(f"'{code}' is no finding that can be accepted; {nearest(code, BLOCKING)}")
            if not reason.strip():
                raise ValueError(f"write the reason why '{code}' does not matter")
        return given


Severity = Literal["block", "warn", "note"]
