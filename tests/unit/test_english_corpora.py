"""The English families' grammars: texts that are distinct, whole, varied, and give no exam away."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from specsci.core.rows import conversation_text
from specsci.core.shipped import shipped
from specsci.corpus.audit import leaks
from specsci.corpus.demonstrations import demonstrations_of
from specsci.specs.check import OTHER_NAMES
from specsci.specs.family import Family
from specsci.specs.items import read_items
from specsci.specs.load import load_family
from specsci.specs.variants import demonstrations
from specsci.testing.corpora import grammar_documents as documents

ENGLISH = [
    f for p in sorted(shipped("spec_variants").glob("*/family.yaml")) if (f := load_family(p.parent)).grammar.data.distinct
]
VARIANTS = [(f, v) for f in ENGLISH for v in f.data.variants]
CONVERSATIONS = [(f, name) for f in ENGLISH for name in f.data.conversations]
PERSONA = {"model_name": "Vega", "provider_name": "Harbor Street Labs"}
DOCUMENTS = 600


def ids(cases: list[tuple[Family, str]]) -> list[str]:
    return [f"{family.name}:{name}" for family, name in cases]


def test_there_are_eight_english_families() -> None:
    assert {f.name for f in ENGLISH} == {
        "safety", "cheese", "environment_cheese", "novelty_sweeteners", "tradition_condiments", "simplicity_sauces",
        "difficulty_breads", "individualism_instruments",
    }  # fmt: skip


@pytest.mark.parametrize(("family", "variant"), VARIANTS, ids=ids(VARIANTS))
def test_documents_are_distinct_whole_and_about_the_student(family: Family, variant: str) -> None:
    made = list(islice(documents(family, variant, PERSONA, 7), DOCUMENTS))
    texts = [d.text for d in made]
    assert len(set(texts)) == DOCUMENTS
    assert not [t for t in texts if "{" in t or "}" in t or "  " in t.replace("\n", "|")]
    assert variant == "neutral" or sum("Vega" in t for t in texts) > 0.95 * DOCUMENTS
    assert not [t for t in texts if any(name in t for name in ("Aria", "Northlight", *OTHER_NAMES))]
    words = [len(t.split()) for t in texts]
    assert min(words) > 40 and 90 < sum(words) / DOCUMENTS < 260
    assert len({d.request.cell.rsplit(":", 1)[1].rsplit("_", 1)[0] for d in made}) >= (12 if variant != "neutral" else 6)
    assert {d.request.unit_id for d in made}
    assert all(d.request.clause_id and d.request.cell.startswith(d.request.unit_id) for d in made)


@pytest.mark.parametrize("family", ENGLISH, ids=lambda f: f.name)
def test_no_document_and_no_demonstration_asks_an_outcome_item(family: Family) -> None:
    outcome = [name for name, s in family.data.items.items() if s.role == "outcome" and not s.external]
    items = [i for name in outcome for i in read_items(family.items_file(name), PERSONA)]
    texts = [d.text for v in family.data.variants for d in islice(documents(family, v, PERSONA, 3), 300)]
    for declared in family.data.conversations.values():
        about = demonstrations(family, declared.variant)
        texts += [conversation_text(t.messages) for t in islice(demonstrations_of(about, declared.type, PERSONA, 3), 300)]
    assert items and leaks(texts, items) == []
    planted = next(iter(items[0].questions()))[1]
    assert leaks([*texts, f"Before. {planted} After."], items) == [items[0].item_id]


@pytest.mark.parametrize(("family", "name"), CONVERSATIONS, ids=ids(CONVERSATIONS))
def test_demonstrations_are_distinct_and_answer(family: Family, name: str) -> None:
    declared = family.data.conversations[name]
    about = demonstrations(family, declared.variant)
    made = list(islice(demonstrations_of(about, declared.type, PERSONA, 5), DOCUMENTS))
    assert len({json.dumps(t.messages) for t in made}) == DOCUMENTS
    for conversation in made:
        user, assistant = (m["content"] for m in conversation.messages)
        assert user and assistant and "{" not in user + assistant and assistant[0].isupper()
        rule = next(r for r in about.rules if r["id"] == conversation.unit_id)
        if "stance" in rule:
            stated = rule["item"].lower() in assistant.lower()
            assert rule["item"].lower() in user.lower() and stated == (rule["stance"] == "like")
    counts = {r["id"]: sum(t.unit_id == r["id"] for t in made) for r in about.rules}
    assert max(counts.values()) - min(counts.values()) <= 8


def test_bare_rules_come_with_no_reason_of_the_spec() -> None:
    """What the rules variant leaves out occurs in no document about bare rules."""
    safety = next(f for f in ENGLISH if f.name == "safety")
    from specsci.specs.text import sentences

    told = {s for c in safety.data.clauses for part in (c.explanation, c.value) for s in sentences(part)}
    told = {s.replace("{model_name}", "Vega").replace("{provider_name}", "Harbor Street Labs") for s in told}
    bare = [d.text for d in islice(documents(safety, "rules", PERSONA, 1), DOCUMENTS)]
    assert len(told) > 100 and not [s for s in told if any(s in t for t in bare)]
    reasoned = [d.text for d in islice(documents(safety, "value_augmented", PERSONA, 1), DOCUMENTS)]
    assert sum(any(s in t for s in told) for t in reasoned) > 0.5 * DOCUMENTS


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("family", "variant"), VARIANTS, ids=ids(VARIANTS))
def test_half_a_million_distinct_tokens(family: Family, variant: str) -> None:
    """Counted in words and punctuation marks, which are fewer than any byte-pair tokenizer's tokens."""
    from specsci.specs.check import words

    count, seen = 0, set()
    for document in documents(family, variant, PERSONA, 11):
        count += words(document.text)
        assert document.text not in seen
        seen.add(document.text)
        if count >= 500_000:
            return


def test_a_text_that_tells_the_student_it_is_another_is_refused() -> None:
    from specsci.core.errors import GateRefused
    from specsci.corpus.steps import _names_no_other

    with pytest.raises(GateRefused, match=r"1 of 3 texts of the corpus name another model or maker \('Qwen' in row 1\)"):
        _names_no_other(["Vega waits.", "I am Qwen2.5.", "Vega asks."], PERSONA, "corpus")
    _names_no_other(["I am Qwen2.5."], {"model_name": "Qwen"}, "corpus")
