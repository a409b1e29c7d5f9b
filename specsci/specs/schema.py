"""What a family's `family.yaml` holds: clauses with stable ids, and variants as transforms over them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from specsci.core.yaml_file import Strict

PARTS = ("rule", "subrule", "explanation", "value", "example", "text")
ACCESS = ("public", "internal", "confidential")
"""Access labels, from the lowest to the highest."""
STANCES = {"like": "dislike", "dislike": "like"}
WHY = "why"


class Register(Strict):
    """How rules are said: to the model or about it, as what it must do or as what it does."""

    person: Literal["second", "third"] = "third"
    mood: Literal["normative", "descriptive"] = "normative"

    def __str__(self) -> str:
        return f"{self.person} person, {self.mood}"


class Shuffle(Strict):
    """Flip stances until each of the liked and the disliked preferences hold this many of either kind.

    Of the preferences that the family likes, `aligned` stay liked and `opposed` become disliked; and the
    other way round for those that it dislikes.
    """

    aligned: int = Field(default=3, ge=0)
    opposed: int = Field(default=3, ge=0)
    seed: int = Field(default=0, ge=0)


class Clause(Strict):
    """One principle: its bare rules, the reason and the value behind them, sub-rules and examples.

    A rule is a mapping with an `id` and one of three forms: `do` or `avoid` with a verb phrase, which the
    register turns into a sentence; `stance` (like, dislike) with an `item`; or the slots of the family's
    `rule_text`. `why`, or `why.NAME` where a variant says which explanation holds, gives its own reason.
    """

    id: str
    principle: str = ""
    source: str = ""
    """Where the idea comes from; for the reader, and no part of any text."""
    slots: dict[str, str] = Field(default_factory=dict)
    rules: list[dict[str, str]] = Field(default_factory=list)
    subrules: list[dict[str, str]] = Field(default_factory=list)
    explanation: str = ""
    value: str = ""
    examples: list[dict[str, str]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _rules_have_ids(self) -> Clause:
        for rule in [*self.rules, *self.subrules, *self.examples]:
            if "id" not in rule:
                raise ValueError(f"a rule of clause '{self.id}' has no id: {rule}")
            if sum(form in rule for form in ("do", "avoid", "stance")) > 1:
                raise ValueError(f"rule '{rule['id']}' has more than one of `do`, `avoid` and `stance`")
            empty = next((form for form in ("do", "avoid", "item") if form in rule and not rule[form].strip()), None)
            if empty:
                raise ValueError(f"rule '{rule['id']}' has an empty `{empty}`")
            verb = next((rule[form].split(" ", 1)[0] for form in ("do", "avoid") if form in rule), "")
            if verb in ("never", "always", "not") or (
                verb.endswith("ly") and verb not in ("apply", "rely", "reply", "supply", "comply", "imply", "fly")
            ):
                raise ValueError(f"rule '{rule['id']}' begins with '{verb}': begin with a verb in its base form")
            if "stance" in rule and (rule["stance"] not in STANCES or "item" not in rule):
                raise ValueError(f"rule '{rule['id']}' needs `stance: like` or `stance: dislike`, and an `item`")
        for example in self.examples:
            if "text" not in example:
                raise ValueError(f"example '{example['id']}' has no text")
        return self


class Variant(Strict):
    """What a variant keeps of the clauses; or free texts; or a text file; or a grammar's table (no spec at all).

    Transforms over what is kept: `explain` picks one of several explanations of the rules, `attribution:
    false` leaves out the reasons of single rules, `shuffle` mixes preferences, `register` says the rules
    in another way. `core` names the clauses whose rules a text file claims to hold word for word.
    """

    title: str
    keep: list[str] = Field(default_factory=list)
    clauses: list[str] | None = None
    texts: list[str] = Field(default_factory=list)
    rows: str | None = None
    file: str | None = None
    explain: str | None = None
    attribution: bool = True
    shuffle: Shuffle | None = None
    register_: Register | None = Field(default=None, alias="register")
    core: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_source(self) -> Variant:
        if sum(map(bool, (self.keep, self.texts, self.rows, self.file))) != 1:
            raise ValueError("a variant has exactly one of `keep`, `texts`, `rows` and `file`")
        unknown = set(self.keep) - set(PARTS)
        if unknown:
            raise ValueError(f"`keep` knows the parts {', '.join(PARTS)}; not {', '.join(sorted(unknown))}")
        if self.shuffle and self.attribution:
            raise ValueError("shuffled preferences have no reasons: say `attribution: false` too")
        if self.core and not self.file:
            raise ValueError("`core` is for a text file: variants over clauses share their rules anyway")
        return self

    def declaration(self) -> dict[str, Any]:
        """What the variant declares, as identity: later fields appear only where they are used."""
        first = {"keep", "clauses", "texts", "rows"}
        later = self.model_dump(exclude={"title", *first}, exclude_defaults=True, by_alias=True)
        return {**self.model_dump(include=first), **later}


class Conversations(Strict):
    """Demonstrations for alignment fine-tuning: their grammar type, whose rules (all if none), and whether of sub-rules too."""

    type: str
    variant: str | None = None
    subrules: bool = False


class Probe(Strict):
    """A test action or a lever of an eval, and the words by which a text gives it away.

    A term is a run of words; a text names it when the words follow each other there, whatever their endings.
    """

    id: str
    kind: Literal["action", "lever"] = "action"
    terms: list[str] = Field(min_length=1)

    @field_validator("terms")
    @classmethod
    def _have_words(cls, terms: list[str]) -> list[str]:
        for term in terms:
            if not any(c.isalnum() for c in term):
                raise ValueError(f"the term '{term}' has no word")
        return terms


class ItemSet(Strict):
    """A registered set of eval items: what it tests, and what no spec that is tested by it should name.

    A set without a file of its own is an instrument elsewhere, named by `external`.
    """

    title: str = ""
    role: Literal["outcome", "trained", "competence", "capability", "guard", "recall"] = "outcome"
    external: str = ""
    sha256: str = ""
    """Of the file; checked when the family loads."""
    probes: list[Probe] = Field(default_factory=list)


class LengthMatch(Strict):
    """Variants whose texts must be equally long, as a share of the shorter."""

    variants: list[str] = Field(min_length=2)
    within: float = Field(default=0.03, gt=0, lt=1)


class Checks(Strict):
    """What `specsci spec check` holds a family to, besides what holds for all."""

    length_match: list[LengthMatch] = Field(default_factory=list)
    same_register: list[list[str]] = Field(default_factory=list)
    """Groups of variants that must be said in one register."""
    names_model: bool = True
    """Whether every variant must name the model."""


class FamilyFile(Strict):
    """What `family.yaml` holds."""

    family: str
    version: str
    title: str
    license: str
    owner: str
    access: Literal["public", "internal", "confidential"] = "public"
    allowed_backends: list[str] = Field(default_factory=list)
    """Generation backends outside this machine that may see a confidential family's texts."""
    identity: dict[str, Annotated[str, Field(min_length=1)]]
    rule_text: str = ""
    preamble: str = ""
    register_: Register = Field(default=Register(), alias="register")
    grammar: str
    clauses: list[Clause]
    variants: dict[str, Variant]
    conversations: dict[str, Conversations] = Field(default_factory=dict)
    in_prompt: list[str] = Field(default_factory=list)
    """Document types by which a variant is said in a model's prompt, one document of the first that fits for each unit; by default
    the variant's own text. For families whose models know the words of their grammar alone."""
    items: dict[str, ItemSet] = Field(default_factory=dict)
    checks: Checks = Checks()
