"""From a variant to its units: what documents can be about, and the types of document that fit each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from specsci.core.errors import UserError
from specsci.core.ids import derive_seed
from specsci.specs.family import Family
from specsci.specs.grammar import SPEC_RULES, SPEC_SENTENCES, Grammar, Table
from specsci.specs.resolve import without_reasons
from specsci.specs.schema import STANCES, WHY, Clause, Register, Variant
from specsci.specs.text import rule_sentence, sentences, spec_text

RULE_COLUMNS = ("polarity", "stance", "item", "opposite", "act", "sentence", WHY)
"""Columns of the table `spec_rules` that every row has, empty where a rule has no such thing."""


@dataclass(frozen=True)
class Unit:
    """One thing that a document can state: a rule, a value, a free text or a fact.

    `parts` are the parts of the clause that the variant allows a document about it to state.
    """

    id: str
    clause_id: str
    kind: str
    parts: frozenset[str]
    slots: tuple[tuple[str, str], ...]


def units_of(family: Family, variant_name: str) -> list[Unit]:
    """All units of a variant, in file order."""
    variant = family.variant(variant_name)
    if variant.rows:
        rows = family.grammar.tables[variant.rows]
        return [
            Unit(f"{variant.rows}.{number}", variant.rows, "fact", frozenset(), tuple(row.items()))
            for number, row in enumerate(rows)
        ]
    texts = variant.texts or family.paragraphs(variant_name)
    if texts:
        return [
            Unit(f"text.{number}", "text", "text", frozenset({"text"}), (("text", text),))
            for number, text in enumerate(texts)
        ]
    units: list[Unit] = []
    for clause in family.clauses_of(variant_name):
        units += _clause_units(family, variant_name, variant, clause)
    return units


def _clause_units(family: Family, variant_name: str, variant: Variant, clause: Clause) -> list[Unit]:
    keep, units = set(variant.keep), []
    register = family.register(variant_name)
    shared = {**_clause_slots(clause), "explain": variant.explain or ""}
    reasoned = keep if variant.attribution else keep - {"explanation"}
    for rule in [*clause.rules, *clause.subrules]:
        slots = {**shared, **rule_slots(family, clause, rule, register)}
        units.append(Unit(rule["id"], clause.id, "rule", frozenset(reasoned | {"rule"}) - {"subrule"}, tuple(slots.items())))
    if clause.value:
        explained = {"value", "explanation"} if clause.explanation and not clause.rules else {"value"}
        units.append(Unit(f"{clause.id}.value", clause.id, "value", frozenset(explained), tuple(shared.items())))
    return units


def _clause_slots(clause: Clause) -> Table:
    return {"clause": clause.id, "principle": clause.principle, **clause.slots}


def rule_slots(family: Family, clause: Clause, rule: dict[str, str], register: Register) -> dict[str, str]:
    """A rule's own slots, and for one with a verb phrase or a stance what templates need to say it."""
    slots = {k: v for k, v in rule.items() if k != "id"}
    said = rule_sentence(family, clause, rule, register)
    for polarity in ("do", "avoid"):
        if polarity in rule:
            slots |= {"polarity": polarity, "act": rule[polarity], "sentence": said}
    if "stance" in rule:
        slots |= {"sentence": said, "opposite": STANCES[rule["stance"]]}
    return slots


@dataclass(frozen=True)
class Demonstrations:
    """What a conversation set is about: rules, the slots of each, and the grammar that speaks of them."""

    rules: list[dict[str, str]]
    """The rules without their reasons: demonstrations give none."""
    slots: dict[str, dict[str, str]]
    grammar: Grammar

    def identity(self) -> dict[str, Any]:
        """What decides the demonstrations of the grammar: the rules, and what is said of them beside."""
        said = any(form in rule for rule in self.rules for form in ("do", "avoid", "stance"))
        return {"rules": self.rules, **({"slots": self.slots} if said else {})}


def demonstrations(family: Family, variant_name: str | None, *, subrules: bool = False) -> Demonstrations:
    """The rules that conversations are about: a variant's, or the family's as they are declared; with its sub-rules if asked."""
    clauses = family.clauses_of(variant_name) if variant_name else family.data.clauses
    register = family.register(variant_name) if variant_name else family.data.register_
    nothing_else = {"explanation": "", "value": "", "examples": [], "subrules": []}
    said = [(c, [*c.rules, *(c.subrules if subrules else [])]) for c in clauses]
    bare = [c.model_copy(update={**nothing_else, "rules": [without_reasons(r) for r in rules]}) for c, rules in said]
    pairs = [(clause, rule) for clause in bare for rule in clause.rules]
    slots = {r["id"]: {**_clause_slots(c), **rule_slots(family, c, r, register)} for c, r in pairs}
    return Demonstrations([r for _, r in pairs], slots, _with_tables(family, bare, [], register))


def document_types_for(family: Family, unit: Unit) -> list[str]:
    """The document types that can be about a unit: all they need is allowed, and they are of its kind.

    A rule unit takes the types that need a rule; a value unit those that need the value and no rule; a
    text those that need the text; a fact those that need nothing.
    """
    found = []
    for name, kind in family.grammar_data.document_types.items():
        needs = set(kind.needs)
        fits = unit.kind in needs and needs <= unit.parts if unit.kind in ("rule", "value") else needs == unit.parts
        if fits:
            found.append(name)
    return found


def prompt_text(family: Family, variant_name: str, names: dict[str, str]) -> str:
    """A variant as it stands in a model's prompt: its own text, or documents of the grammar where the family says so.

    Raises:
        UserError: no document type of `in_prompt` fits any unit of the variant.
    """
    if not family.data.in_prompt:
        return spec_text(family, variant_name, names)
    grammar, said = grammar_for(family, variant_name), []
    for unit in units_of(family, variant_name):
        fits = document_types_for(family, unit)
        kind = next((name for name in family.data.in_prompt if name in fits), None)
        if kind is not None:
            rng = random.Random(derive_seed("in prompt", unit.id))
            said.append(grammar.document(kind, {**family.data.identity, **names, **dict(unit.slots)}, rng)[0])
    if not said:
        raise UserError(f"no document type of `in_prompt` says anything of '{variant_name}'", hint="name one that fits its units")
    return " ".join(said)


@lru_cache(maxsize=64)
def grammar_for(family: Family, variant_name: str) -> Grammar:
    """The family's grammar with the tables that the variant fills, for one that reads them."""
    free = [f"{{model_name}} {t}." for t in family.variant(variant_name).texts] or family.paragraphs(variant_name)
    return _with_tables(family, family.clauses_of(variant_name), free, family.register(variant_name))


def _with_tables(family: Family, clauses: list[Clause], free: list[str], register: Register) -> Grammar:
    if not family.grammar.reads_spec:
        return family.grammar
    rules: list[Table] = []
    said: list[Table] = [{"clause": "text", "principle": "", "part": "text", "text": s} for t in free for s in sentences(t)]
    for clause in clauses:
        shared = _clause_slots(clause)
        for kind, group in (("rule", clause.rules), ("subrule", clause.subrules)):
            for rule in group:
                own = rule_slots(family, clause, rule, register)
                rules.append({**dict.fromkeys(RULE_COLUMNS, ""), **shared, "kind": kind, "id": rule["id"], **own})
                said += [{**shared, "part": "reason", "text": rule[WHY]}] if WHY in rule else []
        for part, text in (("explanation", clause.explanation), ("value", clause.value)):
            said += [{**shared, "part": part, "text": s} for s in sentences(text)]
        said += [{**shared, "part": "example", "text": e["text"]} for e in clause.examples]
    return family.grammar.with_tables({SPEC_RULES: rules, SPEC_SENTENCES: said})
