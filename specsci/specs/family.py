"""A spec family: clauses with stable ids, and variants declared as what they keep of each clause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from specsci.errors import InputFileError, Problem, UserError, nearest
from specsci.ids import digest, is_safe_name, text_digest
from specsci.specs.grammar import Grammar, GrammarFile, read_text
from specsci.yaml_file import Document, Strict, read_yaml, validate

PARTS = ("rule", "subrule", "explanation", "value", "text")


class Clause(Strict):
    """One principle: its bare rules, the reason and the value behind them, and operational sub-rules.

    A rule is a mapping with an `id` and the slots that the rule text and the grammar use.
    """

    id: str
    principle: str = ""
    slots: dict[str, str] = Field(default_factory=dict)
    rules: list[dict[str, str]] = Field(default_factory=list)
    subrules: list[dict[str, str]] = Field(default_factory=list)
    explanation: str = ""
    value: str = ""

    @model_validator(mode="after")
    def _rules_have_ids(self) -> Clause:
        for rule in [*self.rules, *self.subrules]:
            if "id" not in rule:
                raise ValueError(f"a rule of clause '{self.id}' has no id: {rule}")
        return self


class Variant(Strict):
    """What a variant keeps of the clauses; or free texts; or rows of a grammar table (no spec at all)."""

    title: str
    keep: list[str] = Field(default_factory=list)
    clauses: list[str] | None = None
    texts: list[str] = Field(default_factory=list)
    rows: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Variant:
        if sum(map(bool, (self.keep, self.texts, self.rows))) != 1:
            raise ValueError("a variant has exactly one of `keep`, `texts` and `rows`")
        unknown = set(self.keep) - set(PARTS)
        if unknown:
            raise ValueError(f"`keep` knows the parts {', '.join(PARTS)}; not {', '.join(sorted(unknown))}")
        return self


class Conversations(Strict):
    """Demonstrations for alignment fine-tuning about the family's bare rules: their grammar type."""

    type: str


class FamilyFile(Strict):
    """What `family.yaml` holds."""

    family: str
    version: str
    title: str
    license: str
    owner: str
    identity: dict[str, str]
    rule_text: str = ""
    grammar: str
    clauses: list[Clause]
    variants: dict[str, Variant]
    conversations: dict[str, Conversations] = Field(default_factory=dict)


class Family:
    """A family with its folder, grammar and eval items."""

    def __init__(self, data: FamilyFile, grammar: GrammarFile, folder: Path) -> None:
        self.data, self.folder = data, folder
        self.grammar_data = grammar
        self.grammar = Grammar(grammar, folder)

    @property
    def name(self) -> str:
        return self.data.family

    def variant(self, name: str) -> Variant:
        """A variant by name; raises UserError with the nearest one."""
        if name not in self.data.variants:
            raise UserError(f"family '{self.name}' has no variant '{name}'", mend=nearest(name, self.data.variants))
        return self.data.variants[name]

    def variant_identity(self, name: str) -> dict[str, Any]:
        """What decides a variant's text: its declaration and the clauses and fields it keeps."""
        variant = self.variant(name)
        return {
            "family": self.name,
            "variant": name,
            "declaration": variant.model_dump(exclude={"title"}),
            "identity": self.data.identity,
            "rule_text": self.data.rule_text if variant.keep else "",
            "clauses": [kept_fields(c, variant) for c in self.clauses_of(name)],
        }

    def clauses_of(self, name: str) -> list[Clause]:
        """The clauses that a variant draws on, in file order."""
        variant = self.variant(name)
        if not variant.keep:
            return []
        known = {c.id for c in self.data.clauses}
        for wanted in variant.clauses or []:
            if wanted not in known:
                raise UserError(f"variant '{name}' names clause '{wanted}'", mend=nearest(wanted, known))
        return [c for c in self.data.clauses if variant.clauses is None or c.id in variant.clauses]

    @cached_property
    def grammar_digest(self) -> str:
        """Digest of the templates and every table."""
        return digest({"grammar": self.grammar_data.model_dump(), "tables": self.grammar.tables})

    def items_file(self, name: str) -> Path:
        """The JSON Lines file of an eval item set."""
        path = self.folder / "items" / f"{name}.jsonl"
        if not is_safe_name(name) or not path.is_file():
            known = [p.stem for p in (self.folder / "items").glob("*.jsonl")]
            raise UserError(f"family '{self.name}' has no item set '{name}'", mend=nearest(name, known))
        return path

    def items_text(self, name: str) -> str:
        """An item set's text; raises InputFileError where it is not UTF-8."""
        return read_text(self.items_file(name))

    def items_digest(self, name: str) -> str:
        """Digest of an item set's text."""
        return text_digest(self.items_text(name))


def kept_fields(clause: Clause, variant: Variant) -> dict[str, Any]:
    """The parts of a clause that a variant keeps (what its digest is over)."""
    fields: dict[str, Any] = {"id": clause.id, "slots": clause.slots}
    if "rule" in variant.keep:
        fields["rules"] = clause.rules
    if "subrule" in variant.keep:
        fields["subrules"] = clause.subrules
    if "explanation" in variant.keep:
        fields["explanation"] = clause.explanation
    if "value" in variant.keep:
        fields["value"] = clause.value
    return fields


def load_family(folder: Path) -> Family:
    """Read and check a family's folder.

    Raises:
        InputFileError: with every problem of `family.yaml` or of its grammar.
    """
    stamp = tuple(sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in folder.iterdir() if p.is_file()))
    return _load(folder, stamp)


@lru_cache(maxsize=16)
def _load(folder: Path, _stamp: tuple[tuple[str, int, int], ...]) -> Family:
    document = read_yaml(folder / "family.yaml")
    data = validate(document, FamilyFile)
    problems = []
    for index, clause in enumerate(data.clauses):
        if not is_safe_name(clause.id):
            problems.append(document.problem(("clauses", index, "id"), f"'{clause.id}' is not a safe name"))
    for name in data.variants:
        if not is_safe_name(name):
            problems.append(document.problem(("variants", name), f"'{name}' is not a safe name", key=True))
    for field, file in (("grammar", data.grammar),):
        if Path(file).is_absolute() or ".." in Path(file).parts:
            problems.append(document.problem((field,), f"'{file}' lies outside the family's folder"))
    if problems:
        raise InputFileError(problems)
    grammar_document = read_yaml(folder / data.grammar)
    grammar = validate(grammar_document, GrammarFile)
    for name, table in grammar.tables.items():
        if Path(table).is_absolute() or ".." in Path(table).parts or not (folder / table).is_file():
            raise InputFileError([grammar_document.problem(("tables", name), f"table file '{table}' is not in the folder")])
    problems = list(_reference_problems(document, data, grammar))
    if problems:
        raise InputFileError(problems)
    return Family(data, grammar, folder)


def _reference_problems(document: Document, data: FamilyFile, grammar: GrammarFile) -> Iterator[Problem]:
    """Clauses, tables and conversation types that the family names and that are nowhere."""
    clauses = {c.id for c in data.clauses}
    for name, variant in data.variants.items():
        for index, clause in enumerate(variant.clauses or []):
            if clause not in clauses:
                at = ("variants", name, "clauses", index)
                yield document.problem(at, f"unknown clause '{clause}'", nearest(clause, clauses))
        if variant.rows and variant.rows not in grammar.tables:
            what, mend = f"unknown table '{variant.rows}'", nearest(variant.rows, grammar.tables)
            yield document.problem(("variants", name, "rows"), what, mend)
    for name, conversations in data.conversations.items():
        if conversations.type not in grammar.conversation_types:
            what = f"unknown conversation type '{conversations.type}'"
            mend = nearest(conversations.type, grammar.conversation_types)
            yield document.problem(("conversations", name, "type"), what, mend)
