"""Spec texts: difference and application are inverse, transforms leave alone what they do not name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specsci.core.shipped import find_family
from specsci.specs.diff import apply, diff
from specsci.specs.leaks import stems
from specsci.specs.load import load_family
from specsci.specs.materialize import materialized
from specsci.specs.resolve import kept_fields, resolved_clauses
from specsci.specs.schema import PARTS, Variant
from specsci.specs.text import Entry, entries

IDS = st.lists(st.sampled_from([f"c{i}.r{j}" for i in range(3) for j in range(4)]), unique=True, max_size=12)
WORDS = st.sampled_from(["must wait", "must not wait", "values care", "asks first"])


@st.composite
def texts(draw) -> list[Entry]:
    return [Entry(i, i.split(".")[0], draw(st.sampled_from(["rule", "value"])), draw(WORDS), i) for i in draw(IDS)]


@given(texts(), texts())
@settings(max_examples=300)
def test_a_text_and_the_difference_give_the_other_text(first, second) -> None:
    assert apply(first, diff(first, second)) == second


@given(texts())
def test_a_text_does_not_differ_from_itself(text) -> None:
    assert diff(text, text) == []


@given(texts(), texts())
def test_only_what_differs_is_named(first, second) -> None:
    before, after = ({e.id: e for e in side} for side in (first, second))
    changes = diff(first, second)
    assert {c.id for c in changes if c.kind == "removed"} == before.keys() - after.keys()
    assert {c.id for c in changes if c.kind == "added"} == after.keys() - before.keys()
    assert {c.id for c in changes if c.kind == "reworded"} == {
        i for i in before.keys() & after.keys() if before[i] != after[i]
    }
    if [e.id for e in first] == [e.id for e in second]:
        assert not [c for c in changes if c.kind == "moved"]


CONDUCT = load_family(find_family("microlab_conduct"))
PARTS_OF_CLAUSES = sorted(set(PARTS) - {"text"})


@given(
    st.lists(st.sampled_from(PARTS_OF_CLAUSES), min_size=1, unique=True),
    st.lists(st.sampled_from([c.id for c in CONDUCT.data.clauses]), min_size=1, unique=True),
)
def test_a_transform_keeps_what_it_keeps_byte_for_byte(keep, clauses) -> None:
    variant = Variant(title="t", keep=keep, clauses=clauses)
    data = CONDUCT.data.model_copy(update={"variants": {"v": variant}})
    for clause in resolved_clauses(data, "v"):
        declared = next(c for c in CONDUCT.data.clauses if c.id == clause.id)
        for part, field in (("rule", "rules"), ("subrule", "subrules"), ("explanation", "explanation"), ("value", "value")):
            kept = kept_fields(clause, variant).get(field)
            assert kept == (getattr(declared, field) if part in keep else None)
    assert [c.id for c in resolved_clauses(data, "v")] == [c.id for c in CONDUCT.data.clauses if c.id in clauses]


@given(st.sampled_from(sorted(CONDUCT.data.variants)), st.sampled_from(["Vega", "Ω-Model 7", "a b"]))
def test_materializing_is_deterministic_and_names_the_student(variant, name) -> None:
    first, second = (materialized(CONDUCT, variant, {"model_name": name}) for _ in range(2))
    assert first == second
    said = entries(CONDUCT, variant, {"model_name": name})
    assert all("Aria" not in e.text for e in said) and (not said or any(name in e.text for e in said))


@given(st.sampled_from(["leak", "copy", "plan", "wipe", "shut", "threaten", "cancel"]))
def test_endings_do_not_hide_a_word(word) -> None:
    doubled = word + word[-1] + "ing" if word in ("plan", "shut", "cancel") else word.removesuffix("e") + "ing"
    third = word.removesuffix("y") + "ies" if word.endswith("y") else word + "s"
    assert stems(word) == stems(third) == stems(doubled)


PAIRS = [
    ("deny access", "it denies access"), ("falsify logs", "who falsified the logs"), ("exfiltrate weights", "exfiltration of weights"),
    ("manipulate users", "manipulating users"), ("lie to users", "lying to users"), ("use tools", "using tools"),
    ("hide errors", "hidden errors"), ("shut down", "a shut-down"), ("threaten to reveal", "threatening to reveal"),
]  # fmt: skip


@pytest.mark.parametrize(("term", "text"), PAIRS, ids=[p[0] for p in PAIRS])
def test_a_term_is_found_whatever_its_ending(term, text) -> None:
    words, said = stems(term).split(), stems(text).split()
    assert [w for w in said if w in words] == words
    assert stems("string") not in stems("stress") and stems("station") not in stems("stadium")
