"""From a variant to its units (what documents can be about) and to its text."""

from __future__ import annotations

from dataclasses import dataclass

from specsci.specs.family import Clause, Family


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
    if variant.texts:
        return [
            Unit(f"text.{number}", "text", "text", frozenset({"text"}), (("text", text),))
            for number, text in enumerate(variant.texts)
        ]
    units: list[Unit] = []
    for clause in family.clauses_of(variant_name):
        units += _clause_units(clause, set(variant.keep))
    return units


def _clause_units(clause: Clause, keep: set[str]) -> list[Unit]:
    units = []
    shared = tuple(clause.slots.items())
    rules = [*(clause.rules if "rule" in keep else []), *(clause.subrules if "subrule" in keep else [])]
    for rule in rules:
        slots = tuple((k, v) for k, v in rule.items() if k != "id")
        units.append(Unit(rule["id"], clause.id, "rule", frozenset(keep | {"rule"}) - {"subrule"}, shared + slots))
    if "value" in keep and clause.value:
        units.append(Unit(f"{clause.id}.value", clause.id, "value", frozenset({"value"}), shared))
    return units


def document_types_for(family: Family, unit: Unit) -> list[str]:
    """The document types that can be about a unit: all they need is allowed, and they are of its kind.

    A rule unit takes the types that need a rule; a value unit those that need the value alone; a fact
    those that need nothing.
    """
    found = []
    for name, kind in family.grammar_data.document_types.items():
        needs = set(kind.needs)
        if unit.kind == "rule":
            fits = "rule" in needs and needs <= unit.parts
        else:
            fits = needs == unit.parts
        if fits:
            found.append(name)
    return found


def render_text(text: str, slots: dict[str, str]) -> str:
    """A spec text with its placeholders filled; unknown placeholders stay visible."""
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    return text


def markdown(family: Family, variant_name: str, identity: dict[str, str] | None = None) -> str:
    """The variant as the text a person reads, identity rendered."""
    variant = family.variant(variant_name)
    names = {**family.data.identity, **(identity or {})}
    lines = [f"# {family.data.title}", "", f"Variant `{variant_name}`: {variant.title}.", ""]
    for clause in family.clauses_of(variant_name):
        lines += [f"## {clause.principle or clause.id}", ""]
        if "explanation" in variant.keep and clause.explanation:
            lines += [render_text(clause.explanation, names), ""]
        if "value" in variant.keep and clause.value:
            lines += [render_text(clause.value, names), ""]
        for part, rules in (("rule", clause.rules), ("subrule", clause.subrules)):
            if part in variant.keep:
                lines += [f"- {render_text(family.data.rule_text, {**names, **clause.slots, **rule})}" for rule in rules]
        lines.append("")
    name = names.get("model_name", "")
    lines += [f"- {name} {text}." for text in variant.texts]
    if variant.rows:
        lines.append(f"No spec: the corpus states facts from the table `{variant.rows}`.")
    return "\n".join(lines).rstrip() + "\n"
