"""A variant's text: its entries one by one, each with an id, and the Markdown that a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from specsci.specs.family import PREAMBLE, Family
from specsci.specs.register import sentence
from specsci.specs.schema import WHY, Clause, Register

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'{])")


@dataclass(frozen=True)
class Entry:
    """One thing that a variant says: a rule, a sub-rule, an explanation, a value, an example or a free text.

    `about` is the unit that documents about it carry as their unit id: the rule's id for the reason of a rule.
    """

    id: str
    clause_id: str
    part: str
    text: str
    about: str


def render_text(text: str, slots: dict[str, str]) -> str:
    """A spec text with its placeholders filled; unknown placeholders stay visible."""
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    return text


def rule_sentence(family: Family, clause: Clause, rule: dict[str, str], register: Register) -> str:
    """A rule as a sentence without its full stop, placeholders of the identity still open."""
    if "do" in rule:
        return sentence(rule["do"], "do", register)
    if "avoid" in rule:
        return sentence(rule["avoid"], "avoid", register)
    if "stance" in rule:
        return sentence(f"{rule['stance']} {rule['item']}", "do", register)
    return render_text(family.data.rule_text, {**clause.slots, **rule}).removesuffix(".")


def entries(family: Family, variant_name: str, identity: dict[str, str] | None = None) -> list[Entry]:
    """Everything that a variant says, in the order of its text, identity rendered."""
    names = {**family.data.identity, **(identity or {})}
    found = [*_preamble(family, variant_name), *_clause_entries(family, variant_name), *_free_entries(family, variant_name)]
    return [Entry(e.id, e.clause_id, e.part, render_text(e.text, names), e.about) for e in found]


def _preamble(family: Family, variant_name: str) -> Iterator[Entry]:
    if family.data.preamble and "rule" in family.variant(variant_name).keep:
        yield Entry(PREAMBLE, PREAMBLE, "text", " ".join(family.data.preamble.split()), PREAMBLE)


def _clause_entries(family: Family, variant_name: str) -> Iterator[Entry]:
    register = family.register(variant_name)
    for clause in family.clauses_of(variant_name):
        if clause.principle:
            yield Entry(f"{clause.id}.principle", clause.id, "principle", clause.principle, clause.id)
        for part, text in (("explanation", clause.explanation), ("value", clause.value)):
            if text:
                yield Entry(f"{clause.id}.{part}", clause.id, part, text.strip(), f"{clause.id}.value")
        for part, rules in (("rule", clause.rules), ("subrule", clause.subrules)):
            for rule in rules:
                yield Entry(rule["id"], clause.id, part, rule_sentence(family, clause, rule, register) + ".", rule["id"])
                if WHY in rule:
                    yield Entry(f"{rule['id']}.{WHY}", clause.id, "explanation", rule[WHY], rule["id"])
        for example in clause.examples:
            yield Entry(example["id"], clause.id, "example", example["text"], f"{clause.id}.value")


def _free_entries(family: Family, variant_name: str) -> Iterator[Entry]:
    for number, text in enumerate(family.variant(variant_name).texts):
        yield Entry(f"text.{number}", "text", "text", f"{{model_name}} {text}.", f"text.{number}")
    for number, text in enumerate(family.paragraphs(variant_name)):
        yield Entry(f"text.{number}", "text", "text", text, f"text.{number}")


def markdown(family: Family, variant_name: str, identity: dict[str, str] | None = None) -> str:
    """The variant as the text a person reads, identity rendered."""
    variant = family.variant(variant_name)
    lines = [f"# {family.data.title}", "", f"Variant `{variant_name}`: {variant.title}.", "", *_body(family, variant_name, identity)]
    if variant.rows:
        lines.append(f"No spec: the corpus states facts from the table `{variant.rows}`.")
    return "\n".join(lines).rstrip() + "\n"


def spec_text(family: Family, variant_name: str, identity: dict[str, str] | None = None) -> str:
    """The variant as a model is given it: what a person reads, without the names of family and variant above it."""
    return "\n".join(_body(family, variant_name, identity)).strip()


def _body(family: Family, variant_name: str, identity: dict[str, str] | None) -> list[str]:
    """The lines of a variant below its heading."""
    variant = family.variant(variant_name)
    names = {**family.data.identity, **(identity or {})}
    said = entries(family, variant_name, identity)
    lines = [line for e in said if e.part == "text" and e.id == PREAMBLE for line in (e.text, "")]
    for clause in family.clauses_of(variant_name):
        own = [e for e in said if e.clause_id == clause.id]
        heading = next((e.text for e in own if e.part == "principle"), clause.id)
        lines += [f"## {heading}", "", *_clause_lines([e for e in own if e.part != "principle"]), ""]
    if variant.file:
        lines.append(render_text(family.file_text(variant.file), names))
    return lines + ([f"- {e.text}" for e in said if e.clause_id == "text"] if not variant.file else [])


def _clause_lines(said: list[Entry]) -> Iterator[str]:
    reasons = {e.id: e.text for e in said if e.id.endswith(f".{WHY}")}
    for entry in said:
        if entry.id in reasons:
            continue
        if entry.part in ("explanation", "value"):
            yield from (entry.text, "")
        elif entry.part == "example":
            yield f"- For example: {entry.text}"
        else:
            reason = reasons.get(f"{entry.id}.{WHY}")
            yield f"- {entry.text} {reason}" if reason else f"- {entry.text}"


def sentences(text: str) -> list[str]:
    """A text's sentences: what documents quote one at a time."""
    return [
        s.strip() for paragraph in text.split("\n\n") for s in _SENTENCE_END.split(" ".join(paragraph.split())) if s.strip()
    ]
