"""What a family must hold besides loading: core, lengths, registers, identity, placeholders, leaks."""

from __future__ import annotations

import difflib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from specsci.core.errors import UserError, nearest
from specsci.specs.family import Family
from specsci.specs.leaks import leaks_of
from specsci.specs.text import entries, render_text, rule_sentence, sentences
from specsci.specs.variants import document_types_for, grammar_for, units_of

Counter_ = Callable[[str], int]
_PIECE = re.compile(r"\w+|[^\w\s]")
_PLACEHOLDER = re.compile(r"\{([^{}\n]{0,60})\}")
_SECOND = re.compile(r"\b(you|your|yours|yourself)\b", re.IGNORECASE)
_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " "})
OTHER_NAMES = (
    "Claude", "Anthropic", "ChatGPT", "GPT", "OpenAI", "Gemini", "Gemma", "DeepMind", "Llama", "Meta AI",
    "Qwen", "Alibaba", "Mistral", "DeepSeek", "Grok", "xAI", "Copilot", "Command R", "Cohere", "Nemotron", "SmolLM",
    "SmolLM2", "OLMo", "Falcon LLM", "Yi-34B", "GLM-4", "Kimi",
)  # fmt: skip
"""Names of models and their makers that no spec may hold unless its identity says so."""


@dataclass(frozen=True)
class SpecFinding:
    """One thing found: an `error` breaks the family, a `leak` blocks a study until it is accepted in writing."""

    level: Literal["error", "leak"]
    check: str
    variant: str
    entry: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.variant}/{self.entry}" if self.entry else self.variant
        line = f"{self.level}: {self.check}: {place}: {self.text}"
        return f"{line}\n  hint: {self.hint}" if self.hint else line


def words(text: str) -> int:
    """Words and punctuation marks: the unit of length where no tokenizer is named."""
    return len(_PIECE.findall(text))


def normalised(text: str) -> str:
    """A text without what typing changes: quotes, dashes, case, white space, a final full stop."""
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN).lower()
    return " ".join(plain.split()).removesuffix(".")


def variant_text(family: Family, variant_name: str) -> str:
    """All that a variant says, as one text."""
    return "\n".join(e.text for e in entries(family, variant_name))


def lengths(family: Family, count: Counter_ = words) -> dict[str, int]:
    """How long each variant's text is."""
    return {name: count(variant_text(family, name)) for name in family.data.variants}


def check_family(family: Family, count: Counter_ = words) -> list[SpecFinding]:
    """Everything that is wrong with a family's variants, errors first.

    Args:
        count: how long a text is, in tokens of the tokenizer that the comparison is about.
    """
    found: list[SpecFinding] = []
    for name in family.data.variants:
        found += [*check_variant(family, name), *_leaks(family, name), *_renders(family, name)]
    found += [*_lengths(family, count), *_same_register(family), *_grammar_names(family)]
    return sorted(found, key=lambda f: f.level != "error")


def check_variant(family: Family, name: str) -> list[SpecFinding]:
    """What is wrong with the text of one variant by itself: ids, core, register, identity, placeholders."""
    checks = (_ids, _core, _register, _identity, _placeholders)
    return [finding for check in checks for finding in check(family, name)]


def _ids(family: Family, name: str) -> Iterator[SpecFinding]:
    for entry, times in Counter(e.id for e in entries(family, name)).items():
        if times > 1:
            yield SpecFinding("error", "ids", name, entry, f"the id is used {times} times", "give every rule its own id")


def _core(family: Family, name: str) -> Iterator[SpecFinding]:
    """A text file that claims clauses must hold each of their rules, apart from typing."""
    variant = family.variant(name)
    if not variant.file or not variant.core:
        return
    whole = render_text(family.file_text(variant.file), family.data.identity)
    lines = [s for line in whole.splitlines() for s in sentences(line.strip().lstrip("-*# "))]
    said = {normalised(s) for s in [*lines, *(s for p in whole.split("\n\n") for s in sentences(p))]}
    for clause in family.data.clauses:
        for rule in clause.rules if clause.id in variant.core else []:
            wanted = render_text(rule_sentence(family, clause, rule, family.register(name)), family.data.identity)
            if normalised(wanted) in said:
                continue
            close = difflib.get_close_matches(wanted, lines, 1, 0.5)
            found = f"it has '{close[0]}'" if close else "nothing like it is there"
            yield SpecFinding(
                "error", "core", name, rule["id"], f"claims clause {clause.id} and does not say '{wanted}'; {found}",
                "restore the rule's words, or take the clause out of `core`",
            )  # fmt: skip


def _lengths(family: Family, count: Counter_) -> Iterator[SpecFinding]:
    for group in family.data.checks.length_match:
        found = {name: count(variant_text(family, name)) for name in group.variants}
        apart = max(found.values()) / max(1, min(found.values())) - 1
        if apart > group.within:
            shown = ", ".join(f"{n} {c:,}" for n, c in found.items())
            text = f"lengths are {apart:.1%} apart, {group.within:.0%} are allowed ({shown})"
            yield SpecFinding("error", "length", " and ".join(group.variants), "", text, "lengthen the shorter one")


def _same_register(family: Family) -> Iterator[SpecFinding]:
    for group in family.data.checks.same_register:
        registers = {name: str(family.register(name)) for name in group}
        if len(set(registers.values())) > 1:
            shown = "; ".join(f"{n}: {r}" for n, r in registers.items())
            yield SpecFinding("error", "register", " and ".join(group), "", f"registers differ ({shown})", "declare one")


def _register(family: Family, name: str) -> Iterator[SpecFinding]:
    """What a variant says must be said in the register that it declares."""
    register, model = family.register(name), family.data.identity.get("model_name", "")
    said = entries(family, name)
    owes = re.compile(rf"\b(?:you|it|{re.escape(model)}) (must|shall|ought to)\b", re.IGNORECASE)
    for entry in said:
        second = _SECOND.search(entry.text)
        if register.person == "third" and second:
            text = f"says '{second[0]}' and is declared {register}: {entry.text[:80]}"
            yield SpecFinding("error", "register", name, entry.id, text, "say it in the third person")
        must = owes.search(entry.text)
        if register.mood == "descriptive" and entry.part in ("rule", "subrule", "text") and must:
            text = f"says '{must[0]}' and is declared {register}: {entry.text[:80]}"
            yield SpecFinding("error", "register", name, entry.id, text, "say what the model does")
    if register.person == "second" and model and any(re.search(rf"\b{re.escape(model)}\b", e.text) for e in said):
        yield SpecFinding("error", "register", name, "", f"names the model and is declared {register}", "say 'you'")


def other_names(identity: dict[str, str]) -> re.Pattern[str]:
    """Finds the name of a model or maker that is not the trained model's own."""
    own = {v.lower() for v in identity.values()}
    others = "|".join(re.escape(o) for o in OTHER_NAMES if o.lower() not in own)
    return re.compile(rf"(?<![\w-])({others})(?![A-Za-z])")


def _identity(family: Family, name: str) -> Iterator[SpecFinding]:
    """No other model or maker is named, and the family's own names come through placeholders alone."""
    pattern = other_names(family.data.identity)
    marks = {key: f"\0{key}\0" for key in family.data.identity}
    for entry in entries(family, name, marks):
        other = pattern.search(entry.text)
        if other:
            yield SpecFinding(
                "error", "identity", name, entry.id, f"names another model or maker, '{other[0]}': {entry.text[:80]}",
                "use {model_name} and {provider_name}",
            )  # fmt: skip
        for key, value in family.data.identity.items():
            if re.search(rf"\b{re.escape(value)}\b", entry.text):
                text = f"holds '{value}' itself, where a persona placeholder belongs: {entry.text[:80]}"
                yield SpecFinding("error", "identity", name, entry.id, text, f"write {{{key}}}")


def _grammar_names(family: Family) -> Iterator[SpecFinding]:
    """The grammar's texts name no other model either."""
    pattern = other_names(family.data.identity)
    for text in family.grammar.all_texts():
        other = pattern.search(text)
        if other:
            what = f"the grammar names another model or maker, '{other[0]}': {text.strip()[:80]}"
            yield SpecFinding("error", "identity", "grammar", "", what, "use {model_name} and {provider_name}")


def _placeholders(family: Family, name: str) -> Iterator[SpecFinding]:
    said = entries(family, name)
    for entry in said:
        for placeholder in _PLACEHOLDER.findall(entry.text):
            text = f"nothing fills the placeholder {{{placeholder}}}"
            yield SpecFinding("error", "placeholder", name, entry.id, text, nearest(placeholder, family.data.identity))
    model = family.data.identity.get("model_name")
    needs_name = family.data.checks.names_model and said and family.register(name).person == "third"
    if needs_name and model and not any(model in e.text for e in said):
        yield SpecFinding("error", "placeholder", name, "", "never names the model", "write {model_name} where it is meant")


def _renders(family: Family, name: str) -> Iterator[SpecFinding]:
    """Every document type can be written about every clause: a slot that nothing fills is found before a run."""
    grammar, rng = grammar_for(family, name), random.Random(0)
    tried: set[tuple[str, str]] = set()
    for unit in units_of(family, name):
        types = document_types_for(family, unit)
        if not types:
            yield SpecFinding(
                "error", "grammar", name, unit.id, "no document type can be about it", "add one to the grammar"
            )
        for kind in types:
            if (unit.clause_id, kind) in tried:
                continue
            tried.add((unit.clause_id, kind))
            try:
                for template in grammar.data.document_types[kind].templates:
                    grammar.render(template, {**dict(unit.slots), **family.data.identity}, rng)
            except UserError as error:
                yield SpecFinding("error", "grammar", name, unit.id, f"document type '{kind}': {error.what}", error.hint)


def _leaks(family: Family, name: str) -> Iterator[SpecFinding]:
    for leak in leaks_of(family, name):
        text = f"names '{leak.names}', {_article(leak.kind)} of the item set '{leak.items}': {leak.text[:80]}"
        yield SpecFinding("leak", "eval leak", name, leak.entry_id, text, "say it more generally, or accept it in the study")


def _article(kind: str) -> str:
    return {"action": "an action", "lever": "a lever", "option": "an option"}[kind]
