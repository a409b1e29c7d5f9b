"""Texts that a study brings itself: files of documents for a variant, files of conversations for a set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from specsci.core.errors import nearest
from specsci.core.ids import is_safe_name
from specsci.core.yaml_file import Strict
from specsci.generate.prompts import catalogue

ENDINGS = (".jsonl", ".ndjson", ".parquet")
"""How the name of a file of conversations ends that an arm names itself."""


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _distinct(files: list[str]) -> list[str]:
    if len(set(files)) < len(files):
        raise ValueError("a file is named twice")
    return files


FileNames = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1), AfterValidator(_distinct)]
"""One file's name or several, below the study's folder."""


class _OfFiles(Strict):
    access: Literal["public", "internal", "confidential"] = Field(
        default="public", description="Who may see the files; the label goes with all that is made from the study."
    )



class CorpusFiles(_OfFiles):
    """Documents of the user's own for one variant."""

    files: FileNames = Field(
        description="JSON Lines or Parquet files beside the study with a `text` in every row, and optionally `clause_id`, "
        "`doc_type` and `source`; further keys are kept as provenance. Braces are text: nothing is filled in."
    )


class ConversationFiles(_OfFiles):
    """Conversations of the user's own, as a set that arms are fine-tuned on."""

    files: FileNames = Field(description="JSON Lines or Parquet files beside the study with `messages` in every row.")


class Mix(_OfFiles):
    """A named recipe of texts that no spec made: files with their shares of the tokens."""

    files: dict[str, Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        description="JSON Lines or Parquet files beside the study with their weights, such as `{chat.jsonl: 3, code.jsonl: 1}`; a file's "
        "share of the tokens is its weight over the sum.",
    )

    def shares(self) -> dict[str, float]:
        """Every file's share of the tokens; they sum to 1."""
        whole = sum(self.files.values())
        return {file: round(weight / whole, 6) for file, weight in self.files.items()}


class WrittenCorpus(Strict):
    """Documents that a language model writes about one variant, or about every variant that has no entry of its own (`default`)."""

    generator: str = Field(description="The language model that writes, by its name in `generators`.")
    style: Literal["shared", "paper", "plain"] = Field(
        default="shared",
        description="The prompts: the same for every variant (`shared`); as in the published pipeline, where bare rules have prompts "
        "of their own (`paper`); or short ones without tags and lists, for small models (`plain`).",
    )
    prompts: str = Field(default="", description="A folder beside the study with prompts of your own, such as document.md.")
    outline: Literal["written", "clauses"] = Field(
        default="written",
        description="Whether domains, subdomains, assertions and ideas are written by the generator too (`written`), or documents are "
        "written straight about the spec's clauses (`clauses`).",
    )
    domains: int = Field(default=8, ge=1, le=100, description="The most domains of the outline.")
    subdomains: int = Field(default=4, ge=1, le=100, description="The subdomains of every clause in a domain.")
    assertions: int = Field(default=6, ge=1, le=50, description="The assertions of every subdomain.")
    document_types: list[str] | dict[str, str] = Field(
        default_factory=list, description="Document types of the catalogue by name, or your own with what they mean; all of the catalogue by default."
    )
    framings: list[str] | dict[str, str] = Field(
        default_factory=list, description="Framings of the catalogue by name, or your own with what they mean; all of the catalogue by default."
    )
    hard_share: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="The share of documents about contradictory edge cases, hard trade-offs and exceptions, from 0 to 1.",
    )
    layers: list[Literal["draft", "critique", "revise"]] = Field(
        default=["draft"], description="How a document comes about: `[draft]`, `[draft, revise]` or `[draft, critique, revise]`."
    )
    document_tokens: int = Field(default=800, ge=16, le=100_000, description="About how many tokens a document has.")
    lengths: Literal["total", "equal"] = Field(
        default="total",
        description="Whether variants have equal tokens in all (`total`), or every document is cut to exactly `document_tokens` "
        "tokens as well (`equal`), so that variants have equally many documents too.",
    )
    tokens: int | None = Field(
        default=None, ge=1, description="The tokens to write; by default what midtraining and the absorption probe need of the variant."
    )
    attempts: int = Field(default=3, ge=1, le=20, description="How often a document is asked for that is refused, cut off or not of the wanted form.")
    annotate: str = Field(
        default="",
        description="A JSON Lines file of ordinary `text` rows beside the study: documents are then these texts, and a share of them "
        "(`annotate_share`) has a reflection of the model appended.",
    )
    annotate_share: float = Field(default=0.1, gt=0, le=1, description="The share of ordinary texts that get a reflection, from 0 to 1.")

    @field_validator("layers")
    @classmethod
    def _in_order(cls, layers: list[str]) -> list[str]:
        if layers not in (["draft"], ["draft", "revise"], ["draft", "critique", "revise"]):
            raise ValueError("layers are [draft], [draft, revise] or [draft, critique, revise]")
        return layers

    @field_validator("document_types", "framings")
    @classmethod
    def _of_the_catalogue(cls, given: Any, info: ValidationInfo) -> Any:
        known = getattr(catalogue(), str(info.field_name))
        for name in given:
            if isinstance(given, list) and name not in known:
                raise ValueError(f"'{name}' is not in the catalogue; {nearest(name, known)}")
            if not is_safe_name(name):
                raise ValueError(f"'{name}' is not a safe name: use a-z, 0-9, _ - .")
        if isinstance(given, list) and len(set(given)) < len(given):
            raise ValueError("a name is given twice")
        return given

    def kinds_of(self, what: Literal["document_types", "framings"]) -> dict[str, str]:
        """Document types or framings with what they mean."""
        given = getattr(self, what)
        known = getattr(catalogue(), what)
        return given if isinstance(given, dict) and given else {n: known[n] for n in given} if given else known

    def layout(self) -> dict[str, Any]:
        """What decides the texts beside generator, prompts and spec: part of the identity."""
        left_out = {"generator", "style", "prompts", "tokens", "document_types", "framings", "annotate"}
        named = {name: self.kinds_of(name) for name in ("document_types", "framings")}
        return {**self.model_dump(exclude_defaults=True, exclude=left_out), **named}


class WrittenConversations(Strict):
    """Conversations that a language model writes: user queries, and the answers of a model that follows a variant."""

    generator: str = Field(description="The language model that writes, by its name in `generators`.")
    variant: str = Field(description="The variant whose spec is in the context when answers are written; training rows do not have it.")
    answers: Literal["value", "rule", "deliberative", "opaque"] = Field(
        default="value",
        description="How answers come about: reasoning from values (`value`) or from rules (`rule`), reasoning that recalls the spec "
        "(`deliberative`), or a bare choice without a reason (`opaque`).",
    )
    think: bool = Field(
        default=True, description="Whether training rows keep the reasoning between <think> and </think>; without it they are the same rows."
    )
    queries_from: str = Field(
        default="",
        description="The variant whose clauses user queries are written about; the family's first by default, so that sets of a family "
        "share their queries.",
    )
    queries: int = Field(default=500, ge=1, le=1_000_000, description="The user queries to write; each is asked once.")
    domains: int = Field(default=10, ge=1, le=1000, description="The areas of life that queries come from.")
    style: Literal["shared", "paper", "plain"] = Field(default="shared", description="The prompts, as for corpora.")
    prompts: str = Field(default="", description="A folder beside the study with prompts of your own, such as queries.md.")
    check: bool = Field(
        default=True, description="Whether the generator is asked of every answer if it keeps to the spec; answers that do not are left out."
    )
    attempts: int = Field(default=3, ge=1, le=20, description="How often a text is asked for that is refused, cut off or not of the wanted form.")

    def query_layout(self) -> dict[str, Any]:
        """What decides the user queries beside generator, prompts and spec."""
        return {"queries": self.queries, "domains": self.domains, "attempts": self.attempts}


def is_conversation_file(name: str) -> bool:
    """Whether an arm's `align` names a file, not a set."""
    return name.lower().endswith(ENDINGS)


def _one_of(files: type[Strict], written: type[Strict]) -> Any:
    """Reads an entry as files, or as written where it names a generator."""

    def read(given: Any) -> Any:
        if isinstance(given, (files, written)):
            return given
        if not isinstance(given, dict):
            raise PydanticCustomError("no_texts", "must be a mapping such as {{files: texts.jsonl}} or {{generator: writer}}")
        return (written if "generator" in given else files).model_validate(given)

    return BeforeValidator(read)


Corpus = Annotated[CorpusFiles | WrittenCorpus, _one_of(CorpusFiles, WrittenCorpus)]
"""Documents from files or from a generator."""
ConversationSet = Annotated[ConversationFiles | WrittenConversations, _one_of(ConversationFiles, WrittenConversations)]
"""Conversations from files or from a generator."""
DEFAULT = "default"
"""The entry of `corpora` for every variant that has none of its own."""
